"""List prices of AWS in us-east-1, in US dollars, on demand, without free tiers, discounts or taxes.

The prices were written from memory of AWS's own pages, which each group names. In AS_OF the groups were compared with
other pages that quote AWS's prices, dated 2026 where they have a date; "checked" names them. "Not checked" means that
no such page was found. Before a decision, compare with AWS's page. No price here is read from AWS.
"""

from collections.abc import Mapping

from fleet import worker_price

AS_OF = worker_price.AS_OF
REGION = worker_price.PRICES_OF
HOURS_A_MONTH = 730

# Fargate's are in fleet/worker_price.py, because the containers read them, too.
FARGATE_VCPU_HOUR = worker_price.VCPU_HOUR
FARGATE_GB_HOUR = worker_price.GB_HOUR
FARGATE_DISK_GB_HOUR = worker_price.DISK_GB_HOUR
FARGATE_FREE_DISK_GB = worker_price.FREE_DISK_GB
FARGATE_SPOT_SHARE = worker_price.SPOT_SHARE

# aws.amazon.com/rds/postgresql/pricing: one zone; a standby costs the same again. Checked, up to db.t4g.medium:
# infratally.com/articles/aws-rds-pricing-explained-2026.html; the disk: usage.ai/blogs/aws/reserved-instances/rds.
# The larger classes: not checked; several public tables have the same numbers, others differ by some percent.
RDS_HOUR: Mapping[str, float] = {
    "db.t4g.micro": 0.016,
    "db.t4g.small": 0.032,
    "db.t4g.medium": 0.065,
    "db.t4g.large": 0.129,
    "db.m7g.large": 0.168,
    "db.m7g.xlarge": 0.337,
    "db.m7g.2xlarge": 0.674,
    "db.r7g.large": 0.239,
}
RDS_GP3_GB_MONTH = 0.115

# aws.amazon.com/elasticache/pricing: nodes for Redis OSS. Not checked; public tables as for RDS.
ELASTICACHE_HOUR: Mapping[str, float] = {
    "cache.t4g.micro": 0.016,
    "cache.t4g.small": 0.032,
    "cache.t4g.medium": 0.065,
    "cache.m7g.large": 0.158,
    "cache.m7g.xlarge": 0.315,
    "cache.r7g.large": 0.219,
}

# aws.amazon.com/vpc/pricing, aws.amazon.com/privatelink/pricing. Checked: cloudburn.io/blog/aws-nat-gateway-pricing,
# egresscost.com/nat-gateway.
NAT_GATEWAY_HOUR = 0.045
PUBLIC_ADDRESS_HOUR = 0.005
ENDPOINT_ZONE_HOUR = 0.01

# aws.amazon.com/elasticloadbalancing/pricing. Not checked.
BALANCER_HOUR = 0.0225
BALANCER_CAPACITY_UNIT_HOUR = 0.008

# aws.amazon.com/lambda/pricing. Checked: wring.co/blog/aws-lambda-pricing-guide.
LAMBDA_GB_SECOND: Mapping[str, float] = {"x86_64": 0.0000166667, "arm64": 0.0000133334}
LAMBDA_MILLION_CALLS = 0.20

# aws.amazon.com/secrets-manager/pricing: not checked.
# aws.amazon.com/kms/pricing, checked: cloudburn.io/blog/aws-kms-pricing.
SECRET_MONTH = 0.40
KEY_MONTH = 1.00

# aws.amazon.com/cloudwatch/pricing. Metrics, dashboards and logs checked: signoz.io/guides/cloudwatch-pricing,
# factualminds.com/blog/amazon-cloudwatch-pricing-metrics-logs-alarms-dashboards. Alarms: not checked.
ALARM_MONTH = 0.10
COMPOSITE_ALARM_MONTH = 0.50
DASHBOARD_MONTH = 3.00
METRIC_MONTH = 0.30

# aws.amazon.com/cloudwatch/pricing: what comes by OpenTelemetry is charged by the GB, not by the metric; a data point
# counts with its name, labels and resource (checked, on 2026-12-01:
# docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/metrics-otel-pricing.html). The amounts: not checked, since no
# page that could be read names them. Taken are those of CloudWatch's logs and of X-Ray's Transaction Search.
OTEL_METRICS_GB = 0.50
OTEL_SPANS_GB = 0.35

# CloudWatch Logs, by what is written. Checked with the metrics.
LOGS_GB = 0.50

# aws.amazon.com/eventbridge/pricing: events of one's own, up to 64 KB each. Checked:
# cloudburn.io/blog/amazon-eventbridge-pricing.
EVENTS_MILLION = 1.00

# aws.amazon.com/cloud-map/pricing, aws.amazon.com/route53/pricing. Not checked.
PRIVATE_ZONE_MONTH = 0.50
REGISTERED_TASK_MONTH = 0.10

# aws.amazon.com/s3/pricing. Not checked.
S3_GB_MONTH = 0.023
