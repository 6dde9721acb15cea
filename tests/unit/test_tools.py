import pytest

from recollect.errors import UserError
from recollect.server import schema, tools
from recollect.server.mcp import tools_list_tokens

INTERFACE = {
    "search_code": {"query", "repository", "language", "path_glob", "content", "mode", "changed_since", "limit",
                    "snippet_lines", "max_tokens"},
    "find_symbol": {"name", "kind", "repository", "references", "limit"},
    "find_related": {"path", "line", "repository", "limit"},
    "get_repo_map": {"repository", "max_tokens", "focus"},
    "clone_repo": {"url", "branch", "depth", "background", "wait_s"},
    "get_clone_status": {"repo_path"},
    "read_code": {"path", "start_line", "end_line", "repository"},
    "sync_repository": {"repository_path", "repository_name", "background", "wait_s", "incremental", "force_full"},
    "get_sync_status": {"repository_name"},
    "cancel_sync": {"repository_name"},
    "list_repositories": {"query", "limit"},
    "get_repository_status": {"repository_name"},
    "forget_repository": {"repository_name"},
    "configure_auto_sync": {"scan_paths", "exclude_patterns", "scan_interval", "sync_interval", "max_concurrent",
                            "priority_languages", "size_threshold", "auto_watch", "sync_on_startup", "enabled", "repository"},
    "get_auto_sync_status": set(),
    "trigger_repository_scan": set(),
    "pause_auto_sync": set(),
    "resume_auto_sync": set(),
    "store_memory": {"content", "tags", "memory_type", "metadata", "repository", "files", "symbols", "supersedes"},
    "retrieve_memory": {"query", "n_results", "tags", "tag_match", "memory_type", "time", "after", "before", "repository",
                        "max_tokens"},
    "list_memories": {"page", "page_size", "tags", "tag_match", "memory_type", "time"},
    "update_memory": {"id", "content_hash", "content", "tags", "memory_type", "metadata", "restore"},
    "delete_memory": {"id", "content_hash", "tags", "tag_match", "before", "after", "dry_run", "hard"},
}  # fmt: skip


def test_the_listed_tools_have_the_parameters_of_the_interface() -> None:
    found = {tool.name: set(schema.input_schema(tool.parameters)["properties"]) for tool in tools.listed(None)}
    assert found == INTERFACE


def test_listing_the_tools_costs_an_agent_few_tokens() -> None:
    assert tools_list_tokens() < 4_000  # they may cost 4,500


def test_other_tools_forms_are_listed_only_when_asked_for() -> None:
    assert "index_codebase" not in {tool.name for tool in tools.listed(None)}
    assert "index_codebase" in {tool.name for tool in tools.listed(["compat"])}


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(UserError, match="query is required"):
        schema.validated(schema.SearchCode, {})
    with pytest.raises(UserError, match="no argument qury"):
        schema.validated(schema.SearchCode, {"qury": "x", "query": "y"})
    with pytest.raises(UserError, match="limit"):
        schema.validated(schema.SearchCode, {"query": "x", "limit": "ten"})


def test_whole_numbers_may_come_as_floats() -> None:
    assert schema.validated(schema.SearchCode, {"query": "x", "limit": 5.0}).limit == 5


@pytest.mark.parametrize(
    ("model", "arguments"),
    [
        (schema.SearchAnyForm, {"query": "x", "repo": "/a", "top_k": 3}),
        (schema.SearchAnyForm, {"keyword": "x", "directory": "/a"}),
        (schema.SearchAnyForm, {"query": "x", "path": "/a", "extensionFilter": [".py"], "limit": 3}),
        (
            schema.IndexCodebase,
            {"path": "/a", "force": True, "splitter": "ast", "customExtensions": [], "ignorePatterns": []},
        ),
        (schema.IndexCodebase, {"directory": "/a", "force_reindex": True}),
        (schema.ByPath, {"path": "/a"}),
    ],
)
def test_the_forms_that_users_of_other_tools_send_are_understood(
    model: type[schema.Parameters], arguments: dict[str, object]
) -> None:
    schema.validated(model, arguments)
