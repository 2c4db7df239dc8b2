"""Letterdesk: email becomes tickets, no mail is lost, and every mail can say why it became what it became."""

__version__ = "0.1.0"
