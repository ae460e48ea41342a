"""What Airflow sends: mail through SES, also from tasks, and messages of the service `airflow` to topics of SNS."""

from collections.abc import Sequence
from dataclasses import dataclass

from troposphere import Equals, Not, Ref, Select, Split, Sub, Template
from troposphere.iam import PolicyType, Role

from stack.lib.iam import POLICY_VERSION, Statement, add_policy, allow
from stack.lib.parameters import FormGroup, Matching, add_condition

GROUP = "Notifications"
ADDRESS = r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+"
MAX_TOPICS = 10
TOPIC_ARN = r"arn:aws(-[a-z]+)*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]+(\.fifo)?"  # a comma separates two


@dataclass(frozen=True, kw_only=True)
class Notifications:
    """`sender`: the address that mails come from, empty unless the condition `has_sender` holds.

    `topics`: ARNs, separated by commas; empty unless `has_topics` holds.
    """

    sender: Ref
    has_sender: str
    topics: Ref
    has_topics: str


def add_notifications(t: Template) -> Notifications:
    form = FormGroup(t, GROUP)
    sender = form.add(
        "MailFrom",
        label="Sender of mails",
        description="Address from which Airflow and its tasks send mail through SES, such as airflow@example.com; it "
        "or its domain must be a verified identity of SES in this region. Empty for no mail.",
        constraint=Matching(regex=rf"^({ADDRESS})?$", must_be="a mail address without a name, or empty"),
        default="",
    )
    topics = form.add(
        "AirflowTopicArns",
        label="Topics of the service airflow",
        description=f"ARNs of up to {MAX_TOPICS} SNS topics, separated by commas, to which callbacks of DAGs may "
        "publish; what tasks may, their pool declares. Empty for none.",
        constraint=Matching(
            regex=rf"^({TOPIC_ARN}(,{TOPIC_ARN}){{0,{MAX_TOPICS - 1}}})?$",
            must_be=f"the ARNs of up to {MAX_TOPICS} SNS topics, separated by commas without blanks, or empty",
        ),
        default="",
    )
    return Notifications(
        sender=Ref(sender),
        has_sender=add_condition(t, "HasMailFrom", Not(Equals(Ref(sender), ""))),
        topics=Ref(topics),
        has_topics=add_condition(t, "HasAirflowTopics", Not(Equals(Ref(topics), ""))),
    )


def let_notify(t: Template, notifications: Notifications, *, airflow: Role, tasks: Sequence[Role]) -> None:
    """Let the service `airflow` and the tasks of all pools send mail, and the first publish to its topics.

    A task that fails sends its mail itself. Where it cannot, because it was lost, the DAG processor does; that also
    runs the callbacks of DAGs.
    """
    t.add_resource(
        PolicyType(
            "MailPolicy",
            Condition=notifications.has_sender,
            PolicyName="MailPolicy",
            PolicyDocument={"Version": POLICY_VERSION, "Statement": [_send_mail(notifications.sender)]},
            Roles=[Ref(role) for role in (airflow, *tasks)],
        )
    )
    publish = allow(actions=["sns:Publish"], resources=[])
    add_policy(
        t,
        "AirflowTopicsPolicy",
        role=airflow,
        statements=[publish | {"Resource": Split(",", notifications.topics)}],
        condition=notifications.has_topics,
    )


def _send_mail(sender: Ref) -> Statement:
    """Allow mails from this address only: with a domain's identity, any address of the domain would do."""
    # The part behind the @ exists for an empty address, too.
    domain = Select(1, Split("@", Sub("${Sender}@", Sender=sender)))
    identity = "arn:${AWS::Partition}:ses:${AWS::Region}:${AWS::AccountId}:identity/${Identity}"
    return allow(
        actions=["ses:SendRawEmail"],  # the only one that Airflow calls
        # SES asks for the identity of the address where there is one, else for that of its domain.
        resources=[Sub(identity, Identity=each) for each in (sender, domain)],
        condition={"StringEquals": {"ses:FromAddress": sender}},
    )
