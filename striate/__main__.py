"""`python -m striate` is the command `striate`."""

from .cli import main

if __name__ == "__main__":
    main()
