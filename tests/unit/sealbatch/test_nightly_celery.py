"""Each pitfall of Celery on Redis has its setting."""

import pytest
from celery import Celery

from sealbatch.nightly.celery_app import VISIBILITY, broker_url, make_app
from sealbatch.nightly.schedule import NightlySettings


def app() -> Celery:
    """The application with its default settings."""
    return make_app(NightlySettings())


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("task_serializer", "json"),
        ("accept_content", ["json"]),
        ("result_backend", "disabled://"),
        ("task_ignore_result", True),
        ("task_acks_late", True),
        ("task_reject_on_worker_lost", True),
        ("task_acks_on_failure", True),
        ("task_acks_on_timeout", True),
        ("worker_prefetch_multiplier", 1),
        ("worker_enable_remote_control", False),
        ("worker_send_task_events", False),
        ("worker_soft_shutdown_timeout", 30.0),
        ("worker_enable_soft_shutdown_on_idle", True),
        ("timezone", "UTC"),
        ("enable_utc", True),
        ("visibility_timeout", VISIBILITY),
    ],
)
def test_each_pitfall_of_celery_has_its_setting(setting: str, value: object) -> None:
    """As `sealbatch.nightly.celery_app` gives the reasons."""
    assert app().conf[setting] == value


def test_the_broker_is_told_the_same_visibility_and_a_prefix() -> None:
    """Of all applications on one Redis the shortest visibility counts; keys of others stay apart."""
    transport = app().conf.broker_transport_options
    assert (transport["visibility_timeout"], transport["global_keyprefix"]) == (VISIBILITY, "sealbatch:")
    assert broker_url("unix:///run/redis.sock") == "redis+socket:///run/redis.sock"
    assert app().conf.task_time_limit > app().conf.task_soft_time_limit
