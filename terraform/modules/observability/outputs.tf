output "log_group" {
  description = "Log group of the containers."
  value = {
    name = aws_cloudwatch_log_group.containers.name
    arn  = aws_cloudwatch_log_group.containers.arn
  }
}

output "alarm_topic_arn" {
  description = "The SNS topic of all alarms, for other ways of being called."
  value       = aws_sns_topic.alarms.arn
}

output "dashboard_url" {
  description = "Where the dashboard is."
  value       = "https://${local.region}.console.aws.amazon.com/cloudwatch/home?region=${local.region}#dashboards/dashboard/${aws_cloudwatch_dashboard.this.dashboard_name}"
}

output "namespace" {
  description = "Namespace of the containers' metrics."
  value       = local.namespace
}

output "metrics" {
  description = "The containers' metrics that are on a chart."
  value       = toset([for line in flatten([for charts in local.charts : [for chart in charts : [for line in chart.lines : try(line[1], "") if try(line[0] == local.namespace, false)]]]) : line])
}
