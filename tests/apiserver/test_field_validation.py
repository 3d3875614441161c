"""Field validation: what Strict, Warn and Ignore do with fields that nobody knows.

As kube-apiserver since v1.25: bodies are refused with 400, what a patch leads to with 422.
"""

import json
from typing import Any

import pytest

from ocisource.apiserver.forms import answers, bodies
from tests.apiserver import conftest

MAPS = conftest.CONFIG_MAPS
WIDGETS = conftest.WIDGETS
APPLY = bodies.APPLY_PATCH
DOUBLED = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  k: v\n  k: w\n"
YAML_TEXT = 'yaml: unmarshal errors:\n  line 6: key "k" already set in map'


def strict(path: str, validation: str = "Strict") -> str:
    """A path with a ``fieldValidation``."""
    return f"{path}?fieldValidation={validation}"


def told(answer: conftest.Answer) -> list[str]:
    """The texts of an answer's warnings."""
    getall = getattr(answer.headers, "getall")  # noqa: B009 - a multi-mapping's
    return [json.loads(each.removeprefix("299 - ")) for each in getall("Warning", [])]


class TestBodies:
    """POST and PUT."""

    async def test_strict_refuses_a_new_object(self, api: conftest.Api) -> None:
        """400, with every unknown field in the text."""
        obj: dict[str, Any] = {**conftest.widget("w"), "odd": 1}
        obj["spec"]["foo"] = 1
        answer = await api.send("POST", strict(WIDGETS), obj)
        assert (answer.status, answer.doc["reason"]) == (400, "BadRequest")
        assert answer.doc["message"] == (
            'Widget in version "v1" cannot be handled as a Widget: strict decoding error: '
            'unknown field "odd", unknown field "spec.foo"'
        )

    async def test_strict_refuses_a_replacement(self, api: conftest.Api) -> None:
        """PUT is no other than POST."""
        obj = await api.create(WIDGETS, conftest.widget("w"))
        obj["spec"]["foo"] = 1
        answer = await api.send("PUT", strict(WIDGETS + "/w"), obj)
        assert answer.status == 400
        assert answer.doc["message"].endswith('strict decoding error: unknown field "spec.foo"')

    async def test_yaml_is_told_by_its_lines(self, api: conftest.Api) -> None:
        """Keys that stand twice are told as go-yaml tells them."""
        text = DOUBLED + "odd: 1\n"
        answer = await api.send("POST", strict(MAPS), text, content_type=bodies.YAML)
        assert answer.status == 400
        assert answer.doc["message"] == (
            'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: '
            f'{YAML_TEXT}, unknown field "odd"'
        )
        answer = await api.send("POST", MAPS, text, content_type=bodies.YAML)
        assert told(answer) == ['line 6: key "k" already set in map', 'unknown field "odd"']

    async def test_warnings_stay_readable(self, api: conftest.Api) -> None:
        """No client is sent more headers than it would read; an answer has each text once."""
        obj = {**conftest.config_map("a"), **{f"odd{n:03}{'x' * 300}": n for n in range(300)}}
        answer = await api.send("POST", MAPS, obj)
        texts = told(answer)
        assert answer.status == 201
        assert len(texts) == answers.WARNING_CHARACTERS // answers.WARNING_CUT
        assert {len(text) for text in texts} == {answers.WARNING_CUT}

    async def test_refusals_stay_readable(self, api: conftest.Api) -> None:
        """At most a hundred fields are named."""
        obj = {**conftest.config_map("a"), **{f"odd{n:03}": n for n in range(300)}}
        answer = await api.send("POST", strict(MAPS), obj)
        assert answer.status == 400
        assert answer.doc["message"].count("unknown field") == bodies.MAX_COMPLAINTS


class TestPatches:
    """PATCH."""

    async def test_strict_refuses_what_a_merge_patch_leads_to(self, api: conftest.Api) -> None:
        """422, with the patched object in the text, its members sorted."""
        await api.create(MAPS, conftest.config_map("a", data={"k": "v"}))
        answer = await api.patch(strict(MAPS + "/a"), '{"odd":1,"data":{"k":"v","k":"w"}}')
        why = 'strict decoding error: duplicate field "data.k", unknown field "odd"'
        assert (answer.status, answer.doc["reason"]) == (422, "Invalid")
        assert answer.doc["message"].startswith(
            ' "" is invalid: patch: Invalid value: "{\\"apiVersion\\":\\"v1\\",\\"data\\":'
            '{\\"k\\":\\"w\\"},\\"kind\\":\\"ConfigMap\\",\\"metadata\\":'
        )
        assert answer.doc["message"].endswith(f',\\"odd\\":1}}": {why}')
        cause = answer.doc["details"]["causes"][0]
        assert set(answer.doc["details"]) == {"causes"}
        assert (cause["field"], cause["reason"]) == ("patch", "FieldValueInvalid")

    async def test_strict_refuses_what_a_merge_patch_makes_of_a_custom_resource(
        self, api: conftest.Api
    ) -> None:
        """Nested fields are named by their path."""
        await api.create(WIDGETS, conftest.widget("w"))
        answer = await api.patch(strict(WIDGETS + "/w"), {"spec": {"foo": 1}})
        assert answer.status == 422
        assert '\\"spec\\":{\\"color\\":\\"red\\",\\"foo\\":1,' in answer.doc["message"]
        assert answer.doc["message"].endswith('strict decoding error: unknown field "spec.foo"')

    async def test_a_strategic_patch_is_shown_itself(self, api: conftest.Api) -> None:
        """As Go prints a map."""
        await api.create(MAPS, conftest.config_map("a"))
        patch = {"odd": [1.5, None, {"b": True}], "data": {"k": "v"}}
        answer = await api.patch(strict(MAPS + "/a"), patch, content_type=bodies.STRATEGIC_PATCH)
        assert answer.status == 422
        assert answer.doc["message"] == (
            ' "" is invalid: patch: Invalid value: "map[data:map[k:v] odd:[1.5 <nil> '
            'map[b:true]]]": strict decoding error: unknown field "odd"'
        )

    async def test_operations_of_a_json_patch_are_looked_at(self, api: conftest.Api) -> None:
        """Members that RFC 6902 does not know, and those that stand twice."""
        await api.create(MAPS, conftest.config_map("a", data={"k": "v"}))
        patch = (
            '[{"op":"add","path":"/data/l","value":"1","foo":"x"},'
            '{"op":"add","path":"/data/m","path":"/data/m","value":"1"}]'
        )
        found = ['json patch unknown field "[0].foo"', 'json patch duplicate field "[1].path"']
        answer = await api.patch(strict(MAPS + "/a"), patch, content_type=bodies.JSON_PATCH)
        assert answer.status == 422
        assert answer.doc["message"].endswith(f": strict decoding error: {', '.join(found)}")
        answer = await api.patch(MAPS + "/a", patch, content_type=bodies.JSON_PATCH)
        assert (answer.status, told(answer)) == (200, found)

    @pytest.mark.parametrize("validation", ["Warn", "Ignore"])
    async def test_other_validations_let_a_patch_pass(
        self, api: conftest.Api, validation: str
    ) -> None:
        """Warn tells what was dropped, Ignore drops it."""
        await api.create(WIDGETS, conftest.widget("w"))
        answer = await api.patch(strict(WIDGETS + "/w", validation), {"spec": {"foo": 1}})
        assert answer.status == 200
        assert answer.doc["spec"] == {"size": 1, "color": "red"}
        assert told(answer) == ['unknown field "spec.foo"'][: validation == "Warn"]


class TestApply:
    """Server-side apply."""

    async def test_keys_that_stand_twice_are_refused(self, api: conftest.Api) -> None:
        """400 in Strict, a warning otherwise."""
        path = MAPS + "/a?fieldManager=m&fieldValidation="
        answer = await api.patch(path + "Strict", DOUBLED, content_type=APPLY)
        assert answer.status == 400
        assert answer.doc["message"] == (
            f"error strict decoding YAML: error converting YAML to JSON: {YAML_TEXT}"
        )
        assert (await api.get(MAPS + "/a")).status == 404
        answer = await api.patch(path + "Warn", DOUBLED, content_type=APPLY)
        assert (answer.status, answer.doc["data"]) == (201, {"k": "w"})
        assert told(answer) == ['line 6: key "k" already set in map']
        answer = await api.patch(path + "Ignore", DOUBLED, content_type=APPLY)
        assert (answer.status, told(answer)) == (200, [])

    async def test_json_is_read_as_yaml(self, api: conftest.Api) -> None:
        """The complaint is the same."""
        text = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"x":1,"x":2}'
        text = text.replace('"x":1,"x":2', '"data":{"k":"v","k":"w"}')
        answer = await api.patch(MAPS + "/a?fieldManager=m", text, content_type=APPLY)
        assert told(answer) == ['line 1: key "k" already set in map']

    async def test_unknown_fields_are_refused_whatever_is_asked(self, api: conftest.Api) -> None:
        """An intent must fit the schema: nobody could own what is not in it."""
        text = DOUBLED.replace("  k: w\n", "odd: 1\n")
        path = MAPS + "/a?fieldManager=m&fieldValidation=Ignore"
        answer = await api.patch(path, text, content_type=APPLY)
        assert answer.status == 500
        assert answer.doc["message"].endswith(".odd: field not declared in schema")
