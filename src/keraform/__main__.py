"""`python -m keraform` is the command `keraform`."""

from keraform.cli import main

if __name__ == "__main__":
    main()
