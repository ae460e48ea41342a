"""What dev and qa give up to cost less, or to be taken down easily: rules of checkov and cfn-guard that fail there."""

MULTI_AZ = "one database server: a zone's loss stops Airflow until the zone is back"
MONITORING = "no record of the database server's operating system"
INSIGHTS = "no record of what each task uses, which costs for each metric"
PLAIN = "no certificate: the load balancer is internal and speaks HTTP"
CONCURRENCY = "no concurrency of the account's is set aside for the functions"
SHORT_LOGS = "container logs are kept for days, not for a year"
FAILOVER = "one Redis node: its loss loses what waits in it"
BACKUPS = "backups reach back for a few days only"
DELETION = "the stack can be deleted without a second thought"

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
