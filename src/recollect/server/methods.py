"""What the command line may call over the socket: a method of `Workspace` each, with its results as JSON."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final

from recollect.errors import UserError
from recollect.model import Progress, Record
from recollect.workspace import Caller, Workspace
from recollect.workspace.places import check_may_keep_secrets

Report = Callable[[Any], None]
_PLAIN: Final = {  # those that take the caller and answer at once
    "search": "search",
    "symbol": "symbol",
    "read": "read",
    "sync_status": "sync_status",
    "cancel": "cancel",
    "status": "status",
    "files": "files",
    "why": "why",
    "add": "add",
    "forget": "forget",
    "map": "map",
    "related": "related",
    "critical_files": "critical_files",
    "clone_status": "clone_status",
    "track": "track",
    "untrack": "untrack",
    "history": "history",
    "check": "check",
    "configure_auto_sync": "configure_auto_sync",
    "remember": "remember",
    "recall": "recall",
    "brief": "brief",
    "offer": "offer",
}
_MEMORY: Final = {
    "memory_page": "page",
    "memory_get": "get",
    "memory_update": "update",
    "memory_delete": "delete",
    "memory_export": "export",
    "memory_import": "load",
    "memory_restore": "restore",
    "memory_accept": "accept",
    "memory_stats": "stats",
    "memory_backup": "backup",
    "memory_backups": "backups",
}
_AUTO_SYNC: Final = {"auto_sync_status": "status", "pause_auto_sync": "pause", "resume_auto_sync": "resume"}


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        return value.to_dict()
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _caller_method(name: str) -> Callable[..., Any]:
    def run(
        workspace: Workspace, params: dict[str, Any], caller: Caller, report: Report, cancelled: threading.Event
    ) -> Any:
        return _plain(getattr(workspace, name)(**params, caller=caller))

    return run


def _with_progress(name: str) -> Callable[..., Any]:
    def run(
        workspace: Workspace, params: dict[str, Any], caller: Caller, report: Report, cancelled: threading.Event
    ) -> Any:
        def on_progress(progress: Progress) -> None:
            report(progress.to_dict())

        return _plain(getattr(workspace, name)(**params, caller=caller, on_progress=on_progress, cancelled=cancelled))

    return run


def _sync_all(
    workspace: Workspace, params: dict[str, Any], caller: Caller, report: Report, cancelled: threading.Event
) -> Any:
    def on_progress(progress: Progress) -> None:
        report(progress.to_dict())

    return _plain(workspace.sync_all(**params, cancelled=cancelled, on_progress=on_progress))


def _without_caller(name: str) -> Callable[..., Any]:
    def run(
        workspace: Workspace, params: dict[str, Any], caller: Caller, report: Report, cancelled: threading.Event
    ) -> Any:
        return _plain(getattr(workspace, name)(**params))

    return run


def _config(
    workspace: Workspace, params: dict[str, Any], caller: Caller, report: Report, cancelled: threading.Event
) -> Any:
    return workspace.configuration()


def _auto_sync(name: str) -> Callable[..., Any]:
    def run(
        workspace: Workspace, params: dict[str, Any], caller: Caller, report: Report, cancelled: threading.Event
    ) -> Any:
        return _plain(getattr(workspace.auto_sync, name)(**params))

    return run


def _memory(name: str) -> Callable[..., Any]:
    def run(
        workspace: Workspace, params: dict[str, Any], caller: Caller, report: Report, cancelled: threading.Event
    ) -> Any:
        check_may_keep_secrets(bool(params.get("keep_secrets")), caller)
        return _plain(getattr(workspace.memory, name)(**params))

    return run


def _clone_list(
    workspace: Workspace, params: dict[str, Any], caller: Caller, report: Report, cancelled: threading.Event
) -> Any:
    return _plain(workspace.lists.clone(**params, caller=caller))


def _followed(
    workspace: Workspace, params: dict[str, Any], caller: Caller, report: Report, cancelled: threading.Event
) -> Any:
    return workspace.lists.followed()


def _unfollow(
    workspace: Workspace, params: dict[str, Any], caller: Caller, report: Report, cancelled: threading.Event
) -> Any:
    return workspace.lists.unfollow(**params)


def _scan(
    workspace: Workspace, params: dict[str, Any], caller: Caller, report: Report, cancelled: threading.Event
) -> Any:
    return _plain(workspace.auto_sync.scan(caller, **params))


def _paths(
    workspace: Workspace, params: dict[str, Any], caller: Caller, report: Report, cancelled: threading.Event
) -> Any:
    return [{"path": path, "origin": origin} for path, origin in workspace.auto_sync.scan_paths(caller)]


def _discover(
    workspace: Workspace, params: dict[str, Any], caller: Caller, report: Report, cancelled: threading.Event
) -> Any:
    return _plain(workspace.discover(**params))


_LONG: Final[dict[str, Callable[..., Any]]] = {
    "sync": _with_progress("sync"),
    "sync_all": _sync_all,
    "clone": _with_progress("clone"),
}
_OTHERS: Final[dict[str, tuple[Callable[..., Any], bool]]] = {
    "config": (_config, False),
    "scan": (_scan, True),
    "clone_list": (_clone_list, True),
    "followed": (_followed, False),
    "unfollow": (_unfollow, False),
    "auto_sync_paths": (_paths, False),
    "discover": (_discover, True),
    "suggest": (_without_caller("suggested_scan_paths"), True),
}


def find(method: str) -> tuple[Callable[..., Any], bool]:
    """(function, whether it may wait long) of a method. Raises UserError."""
    if method in _PLAIN:
        return _caller_method(_PLAIN[method]), method in ("cancel", "forget", "check", "map", "critical_files")
    if method in _LONG:
        return _LONG[method], True
    if method in ("repositories", "statuses", "about", "diagnose", "savings", "activity"):
        return _without_caller(method), False
    if method in _MEMORY:
        return _memory(_MEMORY[method]), method in (
            "memory_export",
            "memory_import",
            "memory_restore",
            "memory_accept",
            "memory_backup",
        )
    if method in _AUTO_SYNC:
        return _auto_sync(_AUTO_SYNC[method]), False
    if method in _OTHERS:
        return _OTHERS[method]
    raise UserError(f"the daemon knows no method {method!r}", hint="recollect daemon restart", code="unknown_method")
