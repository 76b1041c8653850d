"""Who can reach an address."""

import ipaddress


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches `host`; names other than localhost are not trusted."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
