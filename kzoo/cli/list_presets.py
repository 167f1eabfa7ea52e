"""`kzoo list`: the presets."""

from kzoo.cli.options import Json
from kzoo.cli.output import make_table, print_json, print_table


def list_presets(as_json: Json = False) -> None:
    """List the presets.

    Example: `kzoo list --json`
    """
    from kzoo.models import PRESETS

    if as_json:
        print_json({name: preset.to_dict() for name, preset in PRESETS.items()})
        return
    table = make_table()
    # On a narrow terminal the last columns fold, and a name is whole on the narrowest.
    table.add_column("name", no_wrap=True, min_width=max(map(len, PRESETS)))
    for number in ("layers", "width", "parameters"):
        table.add_column(number, justify="right", no_wrap=True)
    for text in ("license", "description"):
        table.add_column(text, overflow="fold")
    for name, preset in PRESETS.items():
        config = preset.config.to_dict()
        table.add_row(
            name,
            str(config["num_layers"]),
            str(config["hidden_dim"]),
            f"{preset.num_parameters / 1e6:.1f} M",
            preset.license,
            preset.description,
        )
    print_table("Presets", table)
