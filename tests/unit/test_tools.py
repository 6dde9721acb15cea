import json

import pytest

from recollect import pump
from recollect.server import schema, tools
from recollect.server.arguments import field_of, understand
from recollect.server.mcp import INSTRUCTIONS, _described, tools_list_tokens
from recollect.server.tooling import Tool

INTERFACE = {
    "search_code": {"query", "repository", "language", "path_glob", "content", "mode", "changed_since", "limit",
                    "snippet_lines", "max_tokens"},
    "find_symbol": {"name", "kind", "repository", "references", "limit"},
    "find_related": {"path", "line", "repository", "limit"},
    "get_repo_map": {"repository", "max_tokens", "focus"},
    "clone_repo": {"url", "branch", "depth", "background"},
    "get_clone_status": {"repository"},
    "read_code": {"path", "start_line", "end_line", "repository"},
    "sync_repository": {"repository", "name", "background", "wait_s", "force_full"},
    "get_sync_status": {"repository"},
    "cancel_sync": {"repository"},
    "list_repositories": {"query", "limit"},
    "get_repository_status": {"repository"},
    "forget_repository": {"repository"},
    "configure_auto_sync": {"scan_paths", "exclude_patterns", "scan_interval", "sync_interval", "max_concurrent",
                            "priority_languages", "size_threshold", "auto_watch", "sync_on_startup", "enabled", "repository"},
    "get_auto_sync_status": set(),
    "trigger_repository_scan": set(),
    "pause_auto_sync": set(),
    "resume_auto_sync": set(),
    "store_memory": {"content", "tags", "type", "metadata", "repository", "files", "symbols", "supersedes"},
    "retrieve_memory": {"query", "limit", "offset", "tags", "tag_match", "type", "time", "after", "before", "repository",
                        "max_tokens"},
    "list_memories": {"page", "limit", "tags", "tag_match", "type", "time"},
    "update_memory": {"id", "content", "tags", "type", "metadata", "restore"},
    "delete_memory": {"id", "tags", "tag_match", "before", "after", "dry_run", "hard"},
}  # fmt: skip
OLDER_NAMES = {
    "sync_repository": {"repository_path", "repository_name", "incremental"},
    "get_sync_status": {"repository_name"},
    "cancel_sync": {"repository_name"},
    "get_clone_status": {"repo_path"},
    "get_repository_status": {"repository_name"},
    "forget_repository": {"repository_name"},
    "clone_repo": {"wait_s"},
    "store_memory": {"memory_type"},
    "retrieve_memory": {"n_results", "memory_type"},
    "list_memories": {"page_size", "memory_type"},
    "update_memory": {"content_hash", "memory_type"},
    "delete_memory": {"content_hash"},
}
CHECKERS = {"string": str, "integer": int, "number": (int, float), "boolean": bool, "array": list, "object": dict}


def test_the_listed_tools_have_the_parameters_of_the_interface() -> None:
    found = {tool.name: set(schema.input_schema(tool.parameters)["properties"]) for tool in tools.listed(None)}
    assert found == INTERFACE


def test_listing_the_tools_costs_an_agent_few_tokens() -> None:
    listed = [_described(tool).model_dump(mode="json", by_alias=True, exclude_none=True) for tool in tools.listed(None)]
    assert sum(len(json.dumps(tool)) for tool in listed) // 4 <= 2_600  # as a client may write them to its model
    assert tools_list_tokens() <= 2_500


def test_the_essence_stands_in_the_first_240_characters_of_the_instructions() -> None:
    essence = INSTRUCTIONS[:240]
    assert all(name in essence for name in ("search_code", "find_symbol", "retrieve_memory", "store_memory"))
    assert len(INSTRUCTIONS) <= 400


@pytest.mark.parametrize(
    "tool", tools.listed(["code", "repositories", "auto_sync", "memory", "compat"]), ids=lambda tool: tool.name
)
def test_each_parameter_is_published_with_one_type_and_null_where_it_is_optional(tool: Tool) -> None:
    published = schema.input_schema(tool.parameters)
    for name, part in published["properties"].items():
        kinds = part["type"] if isinstance(part["type"], list) else [part["type"]]
        assert kinds[0] in CHECKERS, name
        assert kinds[1:] == ([] if name in published.get("required", ()) else ["null"]), name
        assert ("items" in part) == (kinds[0] == "array"), name
        assert not part.keys() & {"anyOf", "oneOf", "$ref", "enum", "title"}, name


def test_allowed_values_stand_in_the_descriptions() -> None:
    properties = schema.input_schema(schema.SearchCode)["properties"]
    assert all(value in properties["content"]["description"] for value in ("code", "docs", "config", "all", "default"))
    assert all(value in properties["mode"]["description"] for value in ("hybrid", "regex"))


@pytest.mark.parametrize(
    ("name", "older"), [(tool, old) for tool, names in OLDER_NAMES.items() for old in sorted(names)]
)
def test_older_names_of_parameters_are_understood(name: str, older: str) -> None:
    assert field_of(tools.BY_NAME[name].parameters, older) is not None


def test_other_tools_forms_are_listed_only_when_asked_for() -> None:
    assert "index_codebase" not in {tool.name for tool in tools.listed(None)}
    assert "index_codebase" in {tool.name for tool in tools.listed(["compat"])}


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
        (schema.OneRepository, {"path": "/a"}),
    ],
)
def test_the_forms_that_users_of_other_tools_send_are_understood(
    model: type[schema.Parameters], arguments: dict[str, object]
) -> None:
    assert understand(model, arguments).notes == ()


def test_what_only_reads_is_asked_again_where_the_daemon_ended_meanwhile() -> None:
    assert {tool.name for tool in tools.TOOLS if tool.reads} == pump.READ_ONLY
