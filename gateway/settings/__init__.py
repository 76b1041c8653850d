"""Settings: flags over environment over `gateway.toml` over defaults. The only reader of both.

`GATEWAY_TEI__URLS=http://a:80,http://b:80` sets `tei.urls`; in TOML it is `[tei] urls = [...]`.
"""

from gateway.settings.loading import Layer, known_paths, layers, load_settings, variable_name
from gateway.settings.sections import Section, Settings

__all__ = [
    "Layer",
    "Section",
    "Settings",
    "known_paths",
    "layers",
    "load_settings",
    "variable_name",
]
