"""What agents are told by mail, and which of it each wants. A frozen copy, like every migration."""

from peewee import SQL, ForeignKeyField, IntegerField, Model, TextField


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
        class Meta:
            table_name = "agent"

    class Outbox(Table):
        class Meta:
            table_name = "outbox"

    class Notice(Table):
        kind = TextField()
        ticket = ForeignKeyField(Ticket)
        message = ForeignKeyField(Message, null=True)
        agent = ForeignKeyField(Agent, null=True)
        address = TextField(null=True)
        token = TextField(null=True, unique=True)
        who = TextField()
        what = TextField()
        created = TextField()
        told = TextField(null=True)
        outbox = ForeignKeyField(Outbox, null=True)

        class Meta:
            table_name = "notice"

    Notice.add_index(Notice.index(Notice.created, where=Notice.told.is_null(), name="notice_untold"))
    db.create_tables([Notice])
    wanted = TextField(default="new replied assigned failed", constraints=[SQL("DEFAULT 'new replied assigned failed'")])
    migrator.migrate(
        migrator.add_column("agent", "notify", wanted),
        migrator.add_column("agent", "digest_minutes", IntegerField(default=0, constraints=[SQL("DEFAULT 0")])),
        migrator.add_column("agent", "digested", TextField(null=True)),
    )
