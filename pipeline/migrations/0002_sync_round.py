"""The book of fetching rounds. A frozen copy, like every migration."""

from peewee import IntegerField, Model, TextField


def up(migrator, db):  # type: ignore[no-untyped-def]
    class SyncRound(Model):
        started = TextField()
        ended = TextField(index=True)
        came = IntegerField(default=0)
        folders = TextField(default="")
        kind = TextField(null=True)
        reason = TextField(null=True)
        hint = TextField(null=True)

        class Meta:
            database = db
            table_name = "sync_round"

    db.create_tables([SyncRound])
