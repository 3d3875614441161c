"""Built-in kinds: how they are read, completed and checked, as kube-apiserver v1.20.2 does."""

import base64
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest

from ocisource import errors
from ocisource.apiserver.builtin import builtins, eventversions, objectmeta
from ocisource.apiserver.wording import fielderrors

Object = dict[str, Any]

_QUALIFIED = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end "
    "with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for "
    "validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
_KEY = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name'"
    ",  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)


def _find(group: str, kind: str) -> builtins.Builtin:
    found = builtins.find(group, kind)
    assert found is not None
    return found


def _read(group: str, kind: str, members: Object, *, name: str = "s") -> Object:
    version = f"{group}/v1" if group else "v1"
    builtin = _find(group, kind)
    namespace = {"namespace": "default"} if builtin.resource.is_namespaced else {}
    metadata = {"name": name, **namespace, **members.pop("metadata", {})}
    obj, _ = builtin.decode({"apiVersion": version, "kind": kind, "metadata": metadata, **members})
    builtin.prepare(obj, None)
    return obj


def _members(obj: Object) -> Object:
    ours = {"apiVersion", "kind", "metadata"}
    return {name: value for name, value in obj.items() if name not in ours}


def _errors(group: str, kind: str, members: Object, *, name: str = "s") -> list[str]:
    obj = _read(group, kind, members, name=name)
    return [str(each) for each in _find(group, kind).check(obj, None)]


def _b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("group", "kind", "given", "kept"),
    [
        ("", "Secret", {}, {"type": "Opaque"}),
        ("", "Secret", {"data": {}, "type": ""}, {"type": "Opaque"}),
        ("", "Secret", {"data": None}, {"type": "Opaque"}),
        ("", "Secret", {"data": {"a": None}}, {"data": {"a": ""}, "type": "Opaque"}),
        (
            "",
            "Secret",
            {"stringData": {"a": "b"}, "data": {"a": "QQ=="}},
            {"data": {"a": "Yg=="}, "type": "Opaque"},
        ),
        ("", "Secret", {"immutable": False}, {"immutable": False, "type": "Opaque"}),
        ("", "ConfigMap", {"data": {}}, {}),
        ("", "ConfigMap", {"data": {"a": None}}, {"data": {"a": ""}}),
        (
            "",
            "ServiceAccount",
            {"secrets": [{"name": "x"}, {}], "automountServiceAccountToken": False},
            {"secrets": [{"name": "x"}, {}], "automountServiceAccountToken": False},
        ),
        (
            "",
            "Namespace",
            {"spec": {"finalizers": ["x/y"]}, "status": {"phase": "Foo"}},
            {"spec": {"finalizers": ["x/y", "kubernetes"]}, "status": {"phase": "Active"}},
        ),
        ("coordination.k8s.io", "Lease", {}, {"spec": {}}),
        (
            "coordination.k8s.io",
            "Lease",
            {"spec": {"holderIdentity": "", "leaseTransitions": 0}},
            {"spec": {"holderIdentity": "", "leaseTransitions": 0}},
        ),
        (
            "",
            "Event",
            {},
            {
                "involvedObject": {},
                "source": {},
                "firstTimestamp": None,
                "lastTimestamp": None,
                "eventTime": None,
                "reportingComponent": "",
                "reportingInstance": "",
            },
        ),
    ],
)
def test_objects_are_kept_as_the_server_writes_them(
    group: str, kind: str, given: Object, kept: Object
) -> None:
    """Empty members go, pointers and structs stay, defaults are filled in."""
    assert _members(_read(group, kind, given)) == kept


def test_unknown_fields_are_told_and_dropped() -> None:
    """At any depth, with their paths."""
    given = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "x", "foo": 1, "labels": {"any": "1"}},
        "bar": {"baz": 1},
    }
    obj, unknown = _find("", "Secret").decode(given)
    assert unknown == ["bar", "metadata.foo"]
    assert obj["metadata"] == {"name": "x", "labels": {"any": "1"}, "creationTimestamp": None}


def test_unknown_fields_of_schemas_are_told() -> None:
    """A definition's schema is checked as deep as it goes."""
    schema = {"type": "object", "properties": {"a": {"type": "string", "foo": 1}}}
    given = {"spec": {"versions": [{"name": "v1", "schema": {"openAPIV3Schema": schema}}]}}
    _, unknown = _find("apiextensions.k8s.io", "CustomResourceDefinition").decode(given)
    assert unknown == ["spec.versions[0].schema.openAPIV3Schema.properties.a.foo"]


@pytest.mark.parametrize(
    ("kind", "given", "problem"),
    [
        ("Secret", {"data": {"a": "%%"}}, "illegal base64 data at input byte 0"),
        (
            "Secret",
            {"data": {"a": 3}},
            "json: cannot unmarshal number into Go struct field Secret.data of type []uint8",
        ),
        (
            "Secret",
            {"data": ["x"]},
            (
                "json: cannot unmarshal array into Go struct field Secret.data of type "
                "map[string][]uint8"
            ),
        ),
        (
            "Secret",
            {"immutable": "x"},
            "json: cannot unmarshal string into Go struct field Secret.immutable of type bool",
        ),
        (
            "Secret",
            {"metadata": {"name": 3}},
            (
                "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.name of "
                "type string"
            ),
        ),
        (
            "Secret",
            {"metadata": "x"},
            (
                "json: cannot unmarshal string into Go struct field Secret.metadata of type "
                "v1.ObjectMeta"
            ),
        ),
        (
            "Secret",
            {"type": True},
            "json: cannot unmarshal bool into Go struct field Secret.type of type v1.SecretType",
        ),
        (
            "Event",
            {"count": 1 << 40},
            (
                "json: cannot unmarshal number 1099511627776 into Go struct field Event.count of "
                "type int32"
            ),
        ),
        (
            "Event",
            {"firstTimestamp": "bad"},
            'parsing time "bad" as "2006-01-02T15:04:05Z07:00": cannot parse "bad" as "2006"',
        ),
        (
            "Event",
            {"firstTimestamp": 3},
            "json: cannot unmarshal number into Go value of type string",
        ),
    ],
)
def test_values_of_the_wrong_type_refuse_the_object(kind: str, given: Object, problem: str) -> None:
    """In the words of Go's decoder, which names the field."""
    with pytest.raises(errors.InvalidInputError) as caught:
        _find("", kind).decode(given)
    assert str(caught.value) == problem


@pytest.mark.parametrize(
    ("members", "found"),
    [
        ({"type": "kubernetes.io/tls"}, ["data[tls.crt]", "data[tls.key]"]),
        ({"type": "kubernetes.io/tls", "stringData": {"tls.crt": ""}}, ["data[tls.key]"]),
        ({"type": "kubernetes.io/dockerconfigjson"}, ["data[.dockerconfigjson]"]),
        ({"type": "kubernetes.io/dockercfg"}, ["data[.dockercfg]"]),
        ({"type": "kubernetes.io/ssh-auth"}, ["data[%s][ssh-privatekey]"]),
        (
            {"type": "kubernetes.io/basic-auth"},
            ["data[%s][username]", "data[%s][password]"],
        ),
        (
            {"type": "kubernetes.io/service-account-token"},
            ["metadata.annotations[kubernetes.io/service-account.name]"],
        ),
    ],
)
def test_secret_types_demand_their_keys(members: Object, found: list[str]) -> None:
    """Each type of secret has keys it must have."""
    assert _errors("", "Secret", members) == [f"{path}: Required value" for path in found]


@pytest.mark.parametrize(
    "members",
    [
        {"type": "any/thing"},
        {"type": "kubernetes.io/tls", "data": {"tls.crt": "", "tls.key": ""}},
        {"type": "kubernetes.io/basic-auth", "stringData": {"username": "u"}},
        {"type": "kubernetes.io/dockerconfigjson", "stringData": {".dockerconfigjson": "{}"}},
        {
            "type": "kubernetes.io/service-account-token",
            "metadata": {"annotations": {"kubernetes.io/service-account.name": "x"}},
        },
    ],
)
def test_complete_secrets_pass(members: Object) -> None:
    """With its keys a secret of any type is right."""
    assert _errors("", "Secret", members) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("nope", "invalid character 'o' in literal null (expecting 'u')"),
        ("x", "invalid character 'x' looking for beginning of value"),
        ("", "unexpected end of JSON input"),
        (
            "[]",
            "json: cannot unmarshal array into Go value of type map[string]interface {}",
        ),
    ],
)
def test_docker_configurations_must_be_json(text: str, problem: str) -> None:
    """And the message never quotes the secret."""
    members = {"type": "kubernetes.io/dockercfg", "data": {".dockercfg": _b64(text)}}
    shown = 'data[.dockercfg]: Invalid value: "<secret contents redacted>": '
    assert _errors("", "Secret", members) == [shown + problem]


@pytest.mark.parametrize(
    ("kind", "members", "found"),
    [
        ("Secret", {"data": {"a b": ""}}, f'data[a b]: Invalid value: "a b": {_KEY}'),
        (
            "Secret",
            {"data": {"..x": ""}},
            "data[..x]: Invalid value: \"..x\": must not start with '..'",
        ),
        ("ConfigMap", {"data": {"a b": ""}}, f'data[a b]: Invalid value: "a b": {_KEY}'),
        (
            "ConfigMap",
            {"data": {"a": "1"}, "binaryData": {"a": "QQ=="}},
            'data[a]: Invalid value: "a": duplicate of key present in binaryData',
        ),
        (
            "Secret",
            {"stringData": {"a": "x" * 1048577}},
            "data: Too long: must have at most 1048576 bytes",
        ),
        (
            "ConfigMap",
            {"data": {"a": "x" * 1048577}},
            ": Too long: must have at most 1048576 bytes",
        ),
    ],
)
def test_keys_and_sizes_of_data_are_checked(kind: str, members: Object, found: str) -> None:
    """Keys fit file names, and all values together fit the bound."""
    assert _errors("", kind, members) == [found]


def test_immutable_data_stays() -> None:
    """What was declared immutable can neither change nor be declared otherwise."""
    secret = _find("", "Secret")
    old = _read("", "Secret", {"immutable": True, "stringData": {"a": "1"}})
    new = _read("", "Secret", {"stringData": {"a": "2"}})
    assert [str(each) for each in secret.check(new, old)] == [
        "immutable: Forbidden: field is immutable when `immutable` is set",
        "data: Forbidden: field is immutable when `immutable` is set",
    ]


def test_a_secrets_type_stays() -> None:
    """The type is decided once."""
    old, new = _read("", "Secret", {}), _read("", "Secret", {"type": "a/b"})
    assert [str(each) for each in _find("", "Secret").check(new, old)] == [
        'type: Invalid value: "a/b": field is immutable'
    ]


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        (
            {"leaseDurationSeconds": 0},
            ["spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"],
        ),
        (
            {"leaseTransitions": -1},
            ["spec.leaseTransitions: Invalid value: -1: must to greater or equal than 0"],
        ),
        ({"leaseDurationSeconds": 15, "leaseTransitions": 0}, []),
    ],
)
def test_leases_have_sensible_numbers(spec: Object, found: list[str]) -> None:
    """Durations are positive, transitions not negative."""
    assert _errors("coordination.k8s.io", "Lease", {"spec": spec}) == found


_MICRO = "2020-01-01T00:00:00.000000Z"


@pytest.mark.parametrize(
    ("namespace", "members", "found"),
    [
        ("default", {"involvedObject": {"namespace": "default"}}, []),
        ("default", {"involvedObject": {"kind": "Node"}}, []),
        (
            "other",
            {"involvedObject": {"kind": "Node"}},
            ['involvedObject.namespace: Invalid value: "": does not match event.namespace'],
        ),
        (
            "default",
            {"involvedObject": {"namespace": "other"}},
            ['involvedObject.namespace: Invalid value: "other": does not match event.namespace'],
        ),
        (
            "default",
            {"eventTime": _MICRO, "reportingComponent": "a b", "message": "x" * 1025},
            [
                f'reportingController: Invalid value: "a b": {_QUALIFIED}',
                "reportingInstance: Required value",
                "action: Required value",
                "reason: Required value",
                'message: Invalid value: "": can have at most 1024 characters',
            ],
        ),
    ],
)
def test_core_events_follow_the_older_rules(
    namespace: str, members: Object, found: list[str]
) -> None:
    """Only what old clients always sent right is demanded."""
    given = {"metadata": {"namespace": namespace}, **members}
    assert _errors("", "Event", given) == found


def test_new_events_follow_the_stricter_rules() -> None:
    """Reporter, action, reason, type and time are demanded, and old members refused."""
    given = {
        "regarding": {"namespace": "default"},
        "series": {"count": 1},
        "deprecatedCount": 3,
        "reportingController": "x.io/c",
        "reportingInstance": "x",
        "action": "a",
        "reason": "r",
        "type": "Odd",
    }
    assert _errors("events.k8s.io", "Event", given) == [
        'series.count: Invalid value: "": should be at least 2',
        "series.lastObservedTime: Required value",
        "eventTime: Required value",
        'type: Invalid value: "": has invalid value: Odd',
        'count: Invalid value: "": needs to be unset',
    ]


def test_new_events_change_in_their_series_alone() -> None:
    """What happened stays what happened."""
    members = {
        "eventTime": _MICRO,
        "regarding": {"namespace": "default"},
        "reportingController": "x.io/c",
        "reportingInstance": "x",
        "action": "a",
        "reason": "r",
        "type": "Normal",
        "note": "n",
    }
    event = _find("events.k8s.io", "Event")
    old = _read("events.k8s.io", "Event", dict(members))
    series = {"count": 2, "lastObservedTime": _MICRO}
    assert event.check(_read("events.k8s.io", "Event", members | {"series": series}), old) == []
    changed = _read("events.k8s.io", "Event", members | {"note": "m"})
    assert [str(each) for each in event.check(changed, old)] == [
        'message: Invalid value: "m": field is immutable'
    ]


def test_events_lead_from_one_group_to_the_other_and_back() -> None:
    """Both forms hold the same."""
    core = _read("", "Event", {"message": "m", "count": 2, "reportingComponent": "c"})
    shown = eventversions.from_core(core)
    assert shown["note"] == "m"
    assert shown["deprecatedCount"] == 2
    assert "reportingInstance" not in shown
    assert eventversions.to_core(shown) == core


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        (
            {},
            (
                'spec.resourceAttributes: Invalid value: "null": exactly one of '
                "nonResourceAttributes or resourceAttributes must be specified"
            ),
        ),
        (
            {"resourceAttributes": {}, "nonResourceAttributes": {}},
            (
                "spec.nonResourceAttributes: Invalid value: map[string]interface {}{}: cannot be "
                "specified in combination with resourceAttributes"
            ),
        ),
    ],
)
def test_access_reviews_ask_one_question(spec: Object, found: str) -> None:
    """Of a resource or of a path."""
    group, kind = "authorization.k8s.io", "SelfSubjectAccessReview"
    obj, _ = _find(group, kind).decode({"spec": spec})
    assert [str(each) for each in _find(group, kind).check(obj, None)] == [found]


@pytest.mark.parametrize(
    ("seconds", "found"),
    [
        (None, []),
        (600, []),
        (599, ["may not specify a duration less than 10 minutes"]),
        (1 << 33, ["may not specify a duration larger than 2^32 seconds"]),
    ],
)
def test_tokens_live_ten_minutes_at_least(seconds: int | None, found: list[str]) -> None:
    """An hour unless said otherwise."""
    request = builtins.TOKEN_REQUEST
    obj, _ = request.decode({"spec": {"audiences": [], "expirationSeconds": seconds}})
    assert obj["spec"]["expirationSeconds"] == seconds or seconds is None
    path = "spec.expirationSeconds"
    shown = [f"{path}: Invalid value: {seconds}: {text}" for text in found]
    assert [str(each) for each in request.check(obj, None)] == shown


@pytest.mark.parametrize(
    ("metadata", "found"),
    [
        ({"name": ""}, "metadata.name: Required value: name or generateName is required"),
        ({"namespace": ""}, "metadata.namespace: Required value"),
        ({"labels": {"a b": "c"}}, f'metadata.labels: Invalid value: "a b": {_QUALIFIED}'),
        (
            {"annotations": {"A B": "c"}},
            f'metadata.annotations: Invalid value: "A B": {_QUALIFIED}',
        ),
        (
            {"annotations": {"a": "x" * 262144}},
            "metadata.annotations: Too long: must have at most 262144 bytes",
        ),
        (
            {"generation": -1},
            "metadata.generation: Invalid value: -1: must be greater than or equal to 0",
        ),
        (
            {"finalizers": ["nope"]},
            (
                'metadata.finalizers[0]: Invalid value: "nope": name is neither a standard '
                "finalizer name nor is it fully qualified"
            ),
        ),
        (
            {"ownerReferences": [{"apiVersion": "v1", "kind": "A", "name": "n", "uid": ""}]},
            'metadata.ownerReferences.uid: Invalid value: "": uid must not be empty',
        ),
        (
            {"managedFields": [{"operation": "Dance", "fieldsType": "FieldsV1"}]},
            (
                'metadata.managedFields[0].operation: Invalid value: "Dance": must be `Apply` or '
                "`Update`"
            ),
        ),
    ],
)
def test_metadata_is_checked(metadata: Object, found: str) -> None:
    """The rules all objects share."""
    assert _errors("", "ConfigMap", {"metadata": metadata}) == [found]


def test_names_follow_the_kind() -> None:
    """Namespaces are labels, most others subdomains; cluster-wide objects have no namespace."""
    assert _errors("", "Namespace", {}, name="a.b")[0].startswith(
        'metadata.name: Invalid value: "a.b": a lowercase RFC 1123 label must consist of'
    )
    assert _errors("", "ConfigMap", {}, name="a.b") == []
    assert _errors("", "Namespace", {"metadata": {"namespace": "x"}}) == [
        "metadata.namespace: Forbidden: not allowed on this type"
    ]


@pytest.mark.parametrize(
    ("new", "found"),
    [
        ({"name": "b"}, 'metadata.name: Invalid value: "b": field is immutable'),
        ({"uid": "v"}, 'metadata.uid: Invalid value: "v": field is immutable'),
        ({"generation": 1}, "metadata.generation: Invalid value: 1: must not be decremented"),
    ],
)
def test_identity_stays(new: Object, found: str) -> None:
    """Name, uid and generation are not for the client to change."""
    old = {"name": "a", "uid": "u", "generation": 2}
    assert [str(each) for each in objectmeta.validate_update(old | new, old)] == [found]


def test_no_finalizers_are_added_to_what_is_going() -> None:
    """Only fewer finalizers are possible."""
    old = {"deletionTimestamp": "2020-01-01T00:00:00Z", "finalizers": ["a/b"]}
    assert objectmeta.validate_update({**old, "finalizers": []}, old) == []
    found = objectmeta.validate_update({**old, "finalizers": ["a/b", "c/d"]}, old)
    assert fielderrors.aggregate(found) == (
        "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being "
        'deleted, found new finalizers []string{"c/d"}'
    )


def test_there_is_one_controller_at_most() -> None:
    """Two owners cannot both manage an object."""
    owner = {"apiVersion": "v1", "kind": "A", "uid": "u", "controller": True}
    owners = [owner | {"name": "a"}, owner | {"name": "b"}]
    found = objectmeta.validate({"name": "x", "ownerReferences": owners}, is_namespaced=False)
    (error,) = found
    assert error.field == "metadata.ownerReferences"
    assert error.message.endswith(
        'Only one reference can have Controller set to true. Found "true" in references for a and b'
    )


_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=10,
)


@hypothesis.given(st.data())
def test_any_object_is_read_or_refused(data: st.DataObject) -> None:
    """Whatever members hold, reading ends with an object or the one error, checking with errors."""
    builtin = data.draw(st.sampled_from((*builtins.BUILTINS, builtins.TOKEN_REQUEST)))
    names = [*builtin.structural.root.properties, "extra"]
    given = data.draw(st.dictionaries(st.sampled_from(names), _ANYTHING, max_size=4))
    try:
        obj, _ = builtin.decode(given)
    except errors.InvalidInputError:
        return
    again, unknown = builtin.decode(obj)
    assert again == obj
    assert unknown == []
    builtin.prepare(obj, None)
    for error in builtin.check(obj, None):
        assert str(error)
