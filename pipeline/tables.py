"""The tables, as Peewee models: the ledger (mail, place), the desk (ticket, message, ...), people, and small books.

Times are UTC, ISO 8601 text, so that they sort as they read. What a batch writes takes its ids from `counter`, so that
they are known before it is written, and none is ever used twice. Every change here needs a migration (migrations/).
"""

from __future__ import annotations

import peewee
from peewee import AutoField, BlobField, BooleanField, ForeignKeyField, IntegerField, TextField


class Table(peewee.Model):
    class Meta:
        legacy_table_names = False


class Ticket(Table):
    """A case at the desk."""

    id = AutoField(help_text="the number, 1 for TICKET-001")
    ticket_number = TextField(unique=True, help_text="as written in a subject: TICKET-001")
    subject = TextField(help_text="of the opening mail, decoded")
    status = TextField(default="open", index=True, help_text="open, waiting, closed or merged")
    priority = TextField(default="normal")
    queue = TextField(default="support")
    assignee = TextField(null=True, help_text="address of the agent")
    requester_name = TextField(default="")
    requester_address = TextField(null=True, help_text="as written; null: unknown, never written to")
    created_from_email = BooleanField(default=True)
    email_from = TextField(null=True, help_text="From of the opening mail, as written")
    reply_to = TextField(null=True, help_text="Reply-To of the opening mail: where answers go; null: to the requester")
    merged_into = ForeignKeyField("self", null=True, help_text="replies go to that ticket")
    created = TextField()
    updated = TextField(index=True)
    version = IntegerField(default=1, help_text="counts changes, to notice that two people change at once")
    closed = TextField(null=True, help_text="when it was closed last; null: never, or open again")


class Mail(Table):
    """The ledger: one row per mail ever seen, with its bytes and the reasons for what became of it."""

    id = AutoField()
    digest = TextField(unique=True, help_text="SHA-256 of the bytes, hex")
    identity = TextField(null=True, unique=True, help_text="digest of Message-ID, From, Date and content; null: not read")
    identity_version = IntegerField(default=0, help_text="of the rule that made the identity")
    message_id = TextField(null=True, index=True, help_text="never unique: senders reuse ids")
    sender = TextField(null=True, help_text="first address of From, in the form in which addresses compare")
    date = TextField(null=True, help_text="the Date header")
    received = TextField(help_text="when we first saw it")
    size = IntegerField(help_text="bytes of the raw mail")
    outcome = TextField(null=True, index=True, help_text="opened, commented, ignored, held, failed; null: not decided yet")
    ticket = ForeignKeyField(Ticket, null=True)
    trail = TextField(default="[]", help_text="JSON list of reasons, `stage: why`")
    stage = TextField(null=True, help_text="of a failed or held mail: who said so")
    reason = TextField(null=True, help_text="of a failed or held mail: why; of an undecided one: what it waits for")
    tries = IntegerField(default=0)
    next_try = TextField(null=True, help_text="an undecided mail rests until then")
    version = TextField(help_text="of the program that decided")
    # Last in the row, so that reading the other columns does not walk its overflow pages.
    packed = BlobField(null=True, help_text="the raw mail, zlib; null above 1 MiB: data/mails, by digest")


class Place(Table):
    """The ledger's other half: every file in which a mail was seen."""

    id = AutoField()
    box = TextField(help_text="folder; `.` is the drop box")
    key = TextField(help_text="unique file name, without flags")
    mail = ForeignKeyField(Mail, null=True, help_text="null: of the baseline, not read yet")
    digest = TextField(null=True, help_text="of this file: another delivery may differ in its bytes")
    original = TextField(null=True, help_text="the name a file came with into the drop box")
    outcome = TextField(null=True, help_text="what this delivery was: the mail's outcome, or duplicate")
    trail = TextField(null=True, help_text="JSON list of reasons, where this delivery is not the mail's first")
    state = TextField(
        default="noted", help_text="waiting (the baseline, or an undecided mail); noted: decided, not moved yet; filed; gone"
    )
    starred = BooleanField(default=False, help_text="we set the star, so we may take it away")
    seen = TextField(help_text="when")

    class Meta:
        indexes = ((("box", "key"), True),)


# Few at any time, and asked for in every round.
Place.add_index(Place.index(Place.state, where=(Place.state.in_(["waiting", "noted"])), name="place_open"))


class Reference(Table):
    """Ids that a mail names, so that a parent that comes late finds its replies."""

    id = AutoField()
    mail = ForeignKeyField(Mail)
    message_id = TextField(index=True)


class Message(Table):
    """What is said on a ticket: a customer's mail, an agent's reply, or a note."""

    id = AutoField()
    ticket = ForeignKeyField(Ticket)
    mail = ForeignKeyField(Mail, null=True, unique=True, help_text="the mail it came from")
    kind = TextField(help_text="mail, reply or note")
    author_name = TextField(default="")
    author_address = TextField(null=True)
    is_from_email = BooleanField(default=True)
    message_id = TextField(null=True, index=True, help_text="of a reply: ours, with 128 random bits")
    sent_to = TextField(null=True, help_text="of a reply: JSON list of addresses")
    date = TextField(help_text="of the mail, else when it was written")
    has_html = BooleanField(default=False, help_text="HTML is cut from the raw mail and sanitised when shown")
    verified = BooleanField(null=True, help_text="is the sender proven? null: nobody said")
    defects = TextField(default="[]", help_text="JSON list")
    created = TextField()
    text = TextField(help_text="the whole body as text")
    reply_text = TextField(null=True, help_text="what was newly written; null: the whole text")


class Attachment(Table):
    """Where the bytes of an attachment lie in the raw mail; they are cut when asked for, and checked."""

    id = AutoField()
    message = ForeignKeyField(Message)
    position = IntegerField(help_text="0, 1, ... in the mail")
    filename = TextField(null=True)
    content_type = TextField()
    size = IntegerField()
    sha256 = TextField()
    inline = BooleanField(default=False)
    content_id = TextField(null=True)
    part = TextField(help_text="part path, 2.1")
    start = IntegerField(help_text="first encoded byte in the raw mail")
    end = IntegerField()
    encoding = TextField()


class Participant(Table):
    """Who may speak on a ticket."""

    id = AutoField()
    ticket = ForeignKeyField(Ticket)
    address = TextField(help_text="in the form in which addresses compare")
    role = TextField(help_text="requester, to, cc, approved, or merged (of a ticket that was merged into this one)")

    class Meta:
        indexes = ((("ticket", "address"), True),)


class Tag(Table):
    id = AutoField()
    ticket = ForeignKeyField(Ticket)
    name = TextField(index=True)

    class Meta:
        indexes = ((("ticket", "name"), True),)


class Event(Table):
    """A ticket's history: who did what, when and why. Rows are only ever added."""

    id = AutoField()
    ticket = ForeignKeyField(Ticket)
    mail = ForeignKeyField(Mail, null=True)
    at = TextField()
    who = TextField()
    what = TextField()
    why = TextField()


class Link(Table):
    """Two tickets that belong side by side, for the agent's eyes alone."""

    id = AutoField()
    ticket = ForeignKeyField(Ticket)
    other = ForeignKeyField(Ticket, backref="linked_from")
    why = TextField()

    class Meta:
        indexes = ((("ticket", "other"), True),)


class Person(Table):
    """A customer; every sender of a mail becomes one."""

    id = AutoField()
    name = TextField(default="")
    created = TextField()


class PersonAddress(Table):
    """The addresses of a person; a person may have several."""

    id = AutoField()
    address = TextField(unique=True, help_text="in the form in which addresses compare")
    written = TextField(help_text="as first written")
    person = ForeignKeyField(Person)
    skeleton = TextField(null=True, index=True, help_text="the same for addresses that look alike")
    bounced = TextField(null=True, help_text="why mail to it came back last")


class Agent(Table):
    """Who may answer."""

    id = AutoField()
    address = TextField(unique=True, help_text="in the form in which addresses compare")
    written = TextField(help_text="as given")
    name = TextField(default="")
    password = TextField(null=True, help_text="hashed; null: may not log in to the page")
    disabled = BooleanField(default=False)
    created = TextField()
    notify = TextField(default="new replied assigned failed", help_text="of what they are told by mail, between blanks")
    digest_minutes = IntegerField(default=0, help_text="0: told at once; else all of so many minutes in one mail")
    digested = TextField(null=True, help_text="when they got the last digest")


class Blocked(Table):
    """A sender whose mail is held, since an agent called it spam."""

    id = AutoField()
    address = TextField(unique=True, help_text="in the form in which addresses compare")
    ticket = ForeignKeyField(Ticket, null=True, help_text="that was called spam")
    who = TextField()
    at = TextField()


class Outbox(Table):
    """Mails that go out: written in the transaction of what causes them, delivered by `send`."""

    id = AutoField()
    ticket = ForeignKeyField(Ticket, null=True)
    # Not message_id, which is the name of the next column but one.
    message = ForeignKeyField(Message, null=True, column_name="reply_id", help_text="the reply that it carries")
    kind = TextField(help_text="reply, acknowledgement, notification or resend")
    message_id = TextField(unique=True, help_text="fixed before the first try: the customer's program knows a copy by it")
    envelope_from = TextField(help_text="empty: the null sender, to whom no program answers")
    recipients = TextField(help_text="JSON list of addresses, of the envelope")
    state = TextField(default="waiting", index=True, help_text="waiting, sent, failed or cancelled")
    tries = IntegerField(default=0)
    next_try = TextField(null=True, help_text="a waiting mail rests until then")
    reason = TextField(null=True, help_text="why the last try failed, or the mail was cancelled")
    created = TextField()
    sent = TextField(null=True)
    # Last in the row, so that reading the other columns does not walk its overflow pages.
    raw = BlobField(help_text="the mail as it goes out")  # type: ignore[assignment]


class Notice(Table):
    """Something that agents are to be told: written with what causes it, put into a mail by `send`."""

    id = AutoField()
    kind = TextField(help_text="new, replied, assigned, failed, rule, answer (what became of their mail), or old")
    ticket = ForeignKeyField(Ticket)
    message = ForeignKeyField(Message, null=True, help_text="which came")
    agent = ForeignKeyField(Agent, null=True, help_text="who is told; null: every agent (old), or a rule's address")
    address = TextField(null=True, help_text="of a rule: who is told, and is no agent")
    token = TextField(null=True, unique=True, help_text="128 random bits: proves an agent who answers; null: nobody may")
    who = TextField(help_text="who did it")
    what = TextField(help_text="one line: why they are told")
    created = TextField()
    told = TextField(null=True, help_text="when it went into the outbox; null: it waits")
    outbox = ForeignKeyField(Outbox, null=True, help_text="the mail that tells it")


# Few at any time, and asked for by every look into the outbox.
Notice.add_index(Notice.index(Notice.created, where=Notice.told.is_null(), name="notice_untold"))


class Acknowledged(Table):
    """Whom an acknowledgement was written to, for the caps; rows older than a day count for nothing."""

    id = AutoField()
    address = TextField(help_text="in the form in which addresses compare")
    domain = TextField()
    subject = TextField(help_text="SHA-256 of the subject, without marks of answers, hex")
    ticket = ForeignKeyField(Ticket)
    at = TextField(index=True)

    class Meta:
        indexes = ((("address", "at"), False), (("domain", "at"), False))


class Pin(Table):
    """A message that an agent put where it is (merge, split, approve): reprocess does not move it."""

    id = AutoField()
    message = ForeignKeyField(Message, unique=True)
    origin = ForeignKeyField(Ticket, null=True, help_text="a merged ticket, to which it goes back if that is undone")
    why = TextField()


class Box(Table):
    """What is known of a folder of the Maildir."""

    name = TextField(primary_key=True)
    baseline = TextField(null=True, help_text="when it was decided which read mail was there before us; once, for ever")


class SyncRound(Table):
    """What each round of fetching did; the last 10,000."""

    id = AutoField()
    started = TextField()
    ended = TextField(index=True)
    came = IntegerField(default=0, help_text="mails fetched")
    folders = TextField(default="", help_text="walked through, between commas")
    kind = TextField(null=True, help_text="of trouble; null: a good round")
    reason = TextField(null=True)
    hint = TextField(null=True)


class Counter(Table):
    """The next id of each table."""

    name = TextField(primary_key=True)
    value = IntegerField()


# In an order in which each comes after what it points to.
ALL: tuple[type[Table], ...] = (
    Ticket,
    Mail,
    Place,
    Reference,
    Person,
    PersonAddress,
    Message,
    Attachment,
    Participant,
    Tag,
    Event,
    Link,
    Agent,
    Blocked,
    Outbox,
    Notice,
    Acknowledged,
    Pin,
    Box,
    SyncRound,
    Counter,
)
