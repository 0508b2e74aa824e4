"""What the code says of its own fields and members: the text that stands under each."""

import ast
import inspect
import textwrap


def docs_of(kind: type) -> dict[str, str]:
    """The text under each field or member of a class, in one line; what has none below it is left out."""
    body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    if not isinstance(body, ast.ClassDef):
        raise TypeError(f"{kind} is no class")
    said: dict[str, str] = {}
    for field, below in zip(body.body, body.body[1:], strict=False):
        target = field.targets[0] if isinstance(field, ast.Assign) else getattr(field, "target", None)
        text = below.value if isinstance(below, ast.Expr) else None
        if isinstance(target, ast.Name) and isinstance(text, ast.Constant):
            said[target.id] = " ".join(str(text.value).split())
    return said
