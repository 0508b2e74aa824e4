"""What holds for every test."""

from hypothesis import HealthCheck, settings

# A busy machine fails no test: no example has a deadline, and slow ones are not counted.
settings.register_profile("sealbatch", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("sealbatch")
