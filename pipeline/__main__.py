"""`python -m pipeline` is `helpdesk`."""

from .cli import main

if __name__ == "__main__":
    main()
