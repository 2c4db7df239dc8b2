"""offlineimap's keeper: runs it round by round, judges each round, and never ends because of a server."""
