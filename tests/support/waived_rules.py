"""Rules of checkov and cfn-guard that dev and qa fail on purpose, to cost less or to be easy to delete."""

MULTI_AZ = "one database server: the loss of its zone stops Airflow until the zone is back"
MONITORING = "no metrics of the database server's operating system"
INSIGHTS = "no metrics of the resource use of each ECS task, because every metric is billed"
PLAIN = "no certificate: the load balancer is internal and uses HTTP"
CONCURRENCY = "no share of the account's concurrency is reserved for the functions"
SHORT_LOGS = "container logs are kept for days, not for a year"
FAILOVER = "one Redis node: its loss loses the backlog"
BACKUPS = "backups reach back for a few days only"
DELETION = "the stack can be deleted without a further step"

WAIVED_RULES: dict[str, dict[str, str]] = {
    "dev": {
        "CKV_AWS_157": MULTI_AZ,
        "rds_instance_multi_az_support_check": MULTI_AZ,
        "CKV_AWS_118": MONITORING,
        "rds_instance_enhanced_monitoring_enabled_check": MONITORING,
        "CKV_AWS_65": INSIGHTS,
        "ecs_container_insights_enabled_check": INSIGHTS,
        "CKV_AWS_2": PLAIN,
        "CKV_AWS_103": PLAIN,
        "alb_http_to_https_redirection_check": PLAIN,
        "CKV_AWS_115": CONCURRENCY,
        "cloudwatch_log_group_retention_period_check": SHORT_LOGS,
        "elasticache_repl_grp_auto_failover_enabled_check": FAILOVER,
        "rds_instance_backup_enabled_check": BACKUPS,
        "elbv2_deletion_protection_enabled_check": DELETION,
        "rds_instance_deletion_protection_enabled_check": DELETION,
    },
    "qa": {
        "CKV_AWS_157": MULTI_AZ,
        "rds_instance_multi_az_support_check": MULTI_AZ,
        "rds_instance_backup_enabled_check": BACKUPS,
        "CKV_AWS_115": CONCURRENCY,
        "cloudwatch_log_group_retention_period_check": SHORT_LOGS,
    },
    "prd": {},
}
