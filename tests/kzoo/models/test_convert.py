"""Names and settings of Hugging Face, of every family."""

import dataclasses

import pytest

from tests.kzoo.models.families import CONVERTED, random_config, small_config

pytestmark = [
    pytest.mark.once,
    pytest.mark.parametrize("family", CONVERTED.values(), ids=CONVERTED),
]


def test_table_names_every_variable_once(family):
    for config in {small_config(family), small_config(family, pooler=False)}:
        table = family.converter.table(config)
        model = family.backbone_class(config)
        paths = [path for path in table.values() if path is not None]
        assert sorted(paths) == sorted(variable.path for variable in model.weights)


def test_spellings_of_a_weight(family):
    converter = family.converter
    for name in converter.table(small_config(family)):
        assert converter.plain_name(name) == name
        assert converter.plain_name(converter.prefix + name) == name
    assert converter.plain_name(f"other.{converter.prefix}a") == f"other.{converter.prefix}a"


def test_activation_has_several_spellings(family):
    """As in `transformers.activations.ACT2FN`."""
    name = family.converter.fields["activation"]
    spellings = {
        "gelu": ("gelu", "gelu_python"),
        "gelu_tanh": ("gelu_new", "gelu_pytorch_tanh", "gelu_fast", "gelu_accurate"),
        "silu": ("silu", "swish"),
    }
    for activation, names in spellings.items():
        for spelling in names:
            config = family.converter.read_config({name: spelling}, set())
            assert config.activation == activation


@pytest.mark.parametrize("seed", range(5))
def test_configuration_survives_the_round_trip(family, seed):
    config = random_config(family, seed)
    source = family.converter.write_config(config)
    assert source["model_type"] == family.name
    assert family.converter.read_config(source, set()) == config


def test_weights_tell_which_optional_parts_there_are(family):
    converter = family.converter
    source = converter.write_config(small_config(family))
    for field, part in converter.optional.items():
        assert not getattr(converter.read_config(source, {"a.weight"}), field)
        assert getattr(converter.read_config(source, set(converter.tables[part])), field)


def test_what_is_not_implemented_is_refused(family):
    converter = family.converter
    source = converter.write_config(small_config(family))
    wrong = [(field, "another") for field in converter.fixed]
    wrong += [(converter.fields["activation"], value) for value in ("quick_gelu", None)]
    for field, value in wrong:
        with pytest.raises(ValueError, match=f"`{field}` of a .* configuration must be") as told:
            converter.read_config({**source, field: value}, set())
        assert f"Received: {field}={value!r}" in str(told.value)


def test_wrong_size_is_refused(family):
    converter = family.converter
    source = converter.write_config(small_config(family))
    with pytest.raises(ValueError, match="`num_layers` must be a positive integer"):
        converter.read_config({**source, converter.fields["num_layers"]: "two"}, set())


def test_setting_that_hugging_face_does_not_have_is_refused(family):
    config = small_config(family)
    written = {*family.converter.fields, *family.converter.optional}
    for field in dataclasses.fields(config):
        if field.name not in written:
            value = not field.default if field.type is bool else field.default + 1
            other = dataclasses.replace(config, **{field.name: value})
            with pytest.raises(ValueError, match=f"`{field.name}` of a .* which has no such"):
                family.converter.write_config(other)
