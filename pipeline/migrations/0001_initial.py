"""The first tables. A frozen copy: it must make in ten years what it makes today (tests hold it against tables.py)."""

from peewee import BlobField, BooleanField, ForeignKeyField, IntegerField, Model, TextField


def up(migrator, db):  # type: ignore[no-untyped-def]
    class Ticket(Model):
        ticket_number = TextField(unique=True)
        subject = TextField()
        status = TextField(index=True, default="open")
        priority = TextField(default="normal")
        queue = TextField(default="support")
        assignee = TextField(null=True)
        requester_name = TextField(default="")
        requester_address = TextField(null=True)
        created_from_email = BooleanField(default=True)
        email_from = TextField(null=True)
        merged_into = ForeignKeyField("self", null=True)
        created = TextField()
        updated = TextField(index=True)
        version = IntegerField(default=1)

        class Meta:
            database = db
            table_name = "ticket"

    class Mail(Model):
        digest = TextField(unique=True)
        identity = TextField(unique=True, null=True)
        identity_version = IntegerField(default=0)
        message_id = TextField(index=True, null=True)
        sender = TextField(null=True)
        date = TextField(null=True)
        received = TextField()
        size = IntegerField()
        outcome = TextField(index=True, null=True)
        ticket = ForeignKeyField(Ticket, null=True)
        trail = TextField(default="[]")
        stage = TextField(null=True)
        reason = TextField(null=True)
        tries = IntegerField(default=0)
        next_try = TextField(null=True)
        version = TextField()
        packed = BlobField(null=True)

        class Meta:
            database = db
            table_name = "mail"

    class Message(Model):
        ticket = ForeignKeyField(Ticket)
        mail = ForeignKeyField(Mail, unique=True, null=True)
        kind = TextField()
        author_name = TextField(default="")
        author_address = TextField(null=True)
        is_from_email = BooleanField(default=True)
        message_id = TextField(index=True, null=True)
        sent_to = TextField(null=True)
        date = TextField()
        has_html = BooleanField(default=False)
        verified = BooleanField(null=True)
        defects = TextField(default="[]")
        created = TextField()
        text = TextField()
        reply_text = TextField(null=True)

        class Meta:
            database = db
            table_name = "message"

    class Attachment(Model):
        message = ForeignKeyField(Message)
        position = IntegerField()
        filename = TextField(null=True)
        content_type = TextField()
        size = IntegerField()
        sha256 = TextField()
        inline = BooleanField(default=False)
        content_id = TextField(null=True)
        part = TextField()
        start = IntegerField()
        end = IntegerField()
        encoding = TextField()

        class Meta:
            database = db
            table_name = "attachment"

    class Box(Model):
        name = TextField(primary_key=True)
        baseline = TextField(null=True)

        class Meta:
            database = db
            table_name = "box"

    class Counter(Model):
        name = TextField(primary_key=True)
        value = IntegerField()

        class Meta:
            database = db
            table_name = "counter"

    class Event(Model):
        ticket = ForeignKeyField(Ticket)
        mail = ForeignKeyField(Mail, null=True)
        at = TextField()
        who = TextField()
        what = TextField()
        why = TextField()

        class Meta:
            database = db
            table_name = "event"

    class Link(Model):
        ticket = ForeignKeyField(Ticket)
        other = ForeignKeyField(Ticket)
        why = TextField()

        class Meta:
            database = db
            table_name = "link"
            indexes = ((("ticket", "other"), True),)

    class Participant(Model):
        ticket = ForeignKeyField(Ticket)
        address = TextField()
        role = TextField()

        class Meta:
            database = db
            table_name = "participant"
            indexes = ((("ticket", "address"), True),)

    class Person(Model):
        name = TextField(default="")
        created = TextField()

        class Meta:
            database = db
            table_name = "person"

    class PersonAddress(Model):
        address = TextField(unique=True)
        written = TextField()
        person = ForeignKeyField(Person)

        class Meta:
            database = db
            table_name = "person_address"

    class Place(Model):
        box = TextField()
        key = TextField()
        mail = ForeignKeyField(Mail, null=True)
        digest = TextField(null=True)
        original = TextField(null=True)
        outcome = TextField(null=True)
        trail = TextField(null=True)
        state = TextField(default="noted")
        starred = BooleanField(default=False)
        seen = TextField()

        class Meta:
            database = db
            table_name = "place"
            indexes = ((("box", "key"), True),)

    Place.add_index(Place.index(Place.state, where=(Place.state.in_(["waiting", "noted"])), name="place_open"))

    class Reference(Model):
        mail = ForeignKeyField(Mail)
        message_id = TextField(index=True)

        class Meta:
            database = db
            table_name = "reference"

    class Tag(Model):
        ticket = ForeignKeyField(Ticket)
        name = TextField(index=True)

        class Meta:
            database = db
            table_name = "tag"
            indexes = ((("ticket", "name"), True),)

    db.create_tables(
        [Ticket, Mail, Message, Attachment, Box, Counter, Event, Link, Participant, Person, PersonAddress, Place, Reference, Tag]
    )
