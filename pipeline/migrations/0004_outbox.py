"""The outbox, where answers go, and whom an acknowledgement was written to. A frozen copy, like every migration."""

from peewee import BlobField, ForeignKeyField, IntegerField, Model, TextField


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

    class Outbox(Table):
        ticket = ForeignKeyField(Ticket, null=True)
        message = ForeignKeyField(Message, null=True, column_name="reply_id")
        kind = TextField()
        message_id = TextField(unique=True)
        envelope_from = TextField()
        recipients = TextField()
        state = TextField(default="waiting", index=True)
        tries = IntegerField(default=0)
        next_try = TextField(null=True)
        reason = TextField(null=True)
        created = TextField()
        sent = TextField(null=True)
        raw = BlobField()  # type: ignore[assignment]

        class Meta:
            table_name = "outbox"

    class Acknowledged(Table):
        address = TextField()
        domain = TextField()
        subject = TextField()
        ticket = ForeignKeyField(Ticket)
        at = TextField(index=True)

        class Meta:
            table_name = "acknowledged"
            indexes = ((("address", "at"), False), (("domain", "at"), False))

    db.create_tables([Outbox, Acknowledged])
    migrator.migrate(migrator.add_column("ticket", "reply_to", TextField(null=True)))
