"""YAML front matter: read without aliases, tags or depth that could cost more than the text itself."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

MAX_BYTES: Final = 16 << 20
_MAX_BYTES_IN_PYTHON: Final = 256 << 10  # where PyYAML was built without libyaml, it reads a hundredth as fast
_MAX_EVENTS: Final = 100_000
_MAX_DEPTH: Final = 40


def dump(record: dict[str, Any]) -> str:
    """As block style, in the order of the record."""
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True  # `load` refuses them

    return yaml.dump(record, Dumper=Dumper, allow_unicode=True, sort_keys=False, width=1000)


def load(text: str) -> Any:
    """The value of a document; dates stay the texts that they are written as. Raises ValueError with the reason."""
    import yaml

    most = MAX_BYTES if yaml.__with_libyaml__ else _MAX_BYTES_IN_PYTHON
    if len(text) > most:
        raise ValueError(f"it is longer than {most:,} characters")
    try:
        _check(text)
        return yaml.load(text, Loader=_loader())
    except yaml.YAMLError as error:
        raise ValueError(f"it is no YAML: {error}") from error
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error


def _check(text: str) -> None:
    """Raises ValueError, YAMLError: before anything is built of it."""
    import yaml

    depth = 0
    loader = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
    for count, event in enumerate(yaml.parse(text, Loader=loader)):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise ValueError("it uses an anchor or an alias, which is not read")
        if getattr(event, "tag", None) is not None:
            raise ValueError("it uses a tag, which is not read")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _MAX_DEPTH:
            raise ValueError(f"it is nested more than {_MAX_DEPTH} deep")
        if count > _MAX_EVENTS:
            raise ValueError("it has too many parts")


@cache
def _loader() -> Any:
    import yaml

    base: Any = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader

    class Loader(base):  # type: ignore[misc]
        yaml_implicit_resolvers = {  # noqa: RUF012
            first: [(tag, pattern) for tag, pattern in rules if tag != "tag:yaml.org,2002:timestamp"]
            for first, rules in base.yaml_implicit_resolvers.items()
        }

    return Loader
