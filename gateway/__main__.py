"""`python -m gateway` and the command `gateway`."""


def main() -> None:
    """Run the command line; exits with 0, 1 (it failed) or 2 (it was asked wrongly)."""
    from gateway.cli.app import app  # noqa: PLC0415

    app()


if __name__ == "__main__":
    main()
