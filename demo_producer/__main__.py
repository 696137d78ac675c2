"""`python -m demo_producer`."""

import sys

from demo_producer.cli import main

if __name__ == "__main__":
    sys.exit(main())
