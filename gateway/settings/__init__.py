"""Settings: flags over environment over `gateway.toml` over defaults. The only reader of both.

`GATEWAY_TEI__URLS=http://a:80,http://b:80` sets `tei.urls`; in TOML it is `[tei] urls = [...]`.
"""

from gateway.settings.fields import Section
from gateway.settings.loading import (
    CONFIG_VARIABLE,
    Layer,
    known_paths,
    layers,
    load_settings,
    variable_name,
)
from gateway.settings.sections import ServerSettings, Settings

__all__ = [
    "CONFIG_VARIABLE",
    "Layer",
    "Section",
    "ServerSettings",
    "Settings",
    "known_paths",
    "layers",
    "load_settings",
    "variable_name",
]
