"""How well a search finds what it should: golden sets, measures, sweeps over profiles, a gate."""
