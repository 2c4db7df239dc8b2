"""Agents, blocked senders, look-alikes, bounced addresses, pinned messages. A frozen copy, like every migration."""

from peewee import BooleanField, ForeignKeyField, Model, TextField


def up(migrator, db):  # type: ignore[no-untyped-def]
    class Table(Model):
        class Meta:
            database = db

    class Ticket(Table):
        class Meta:
            table_name = "ticket"

    class Message(Table):
        class Meta:
            table_name = "message"

    class Agent(Table):
        address = TextField(unique=True)
        written = TextField()
        name = TextField(default="")
        password = TextField(null=True)
        disabled = BooleanField(default=False)
        created = TextField()

        class Meta:
            table_name = "agent"

    class Blocked(Table):
        address = TextField(unique=True)
        ticket = ForeignKeyField(Ticket, null=True)
        who = TextField()
        at = TextField()

        class Meta:
            table_name = "blocked"

    class Pin(Table):
        message = ForeignKeyField(Message, unique=True)
        origin = ForeignKeyField(Ticket, null=True)
        why = TextField()

        class Meta:
            table_name = "pin"

    db.create_tables([Agent, Blocked, Pin])
    migrator.migrate(
        migrator.add_column("ticket", "closed", TextField(null=True)),
        migrator.add_column("person_address", "skeleton", TextField(null=True, index=True)),
        migrator.add_column("person_address", "bounced", TextField(null=True)),
    )
