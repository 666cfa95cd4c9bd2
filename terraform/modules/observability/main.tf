# What an operator looks at, and what wakes one up. Each alarm has a section in docs/deploy.md.

data "aws_region" "current" {}

data "aws_caller_identity" "current" {}

locals {
  # `src/processor/metrics.rs`
  namespace = "WeddingPhotoProcessor"
  runbook   = "What to do: docs/deploy.md"
}

resource "aws_cloudwatch_log_group" "containers" {
  name              = "/aws/batch/${var.name}"
  retention_in_days = var.log_retention_days
  tags              = var.tags
}

# --- Who is called.

resource "aws_sns_topic" "alarms" {
  name = "${var.name}-alarms"
  tags = var.tags
}

data "aws_iam_policy_document" "alarms" {
  statement {
    sid       = "Publish"
    actions   = ["sns:Publish"]
    resources = [aws_sns_topic.alarms.arn]

    principals {
      type        = "Service"
      identifiers = ["cloudwatch.amazonaws.com", "budgets.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.current.account_id]
    }
  }

  # Without a condition: EventBridge long documented that it passes none, and a call that does not come is worse
  # than one too many.
  statement {
    sid       = "PublishEvents"
    actions   = ["sns:Publish"]
    resources = [aws_sns_topic.alarms.arn]

    principals {
      type        = "Service"
      identifiers = ["events.amazonaws.com"]
    }
  }
}

resource "aws_sns_topic_policy" "alarms" {
  arn    = aws_sns_topic.alarms.arn
  policy = data.aws_iam_policy_document.alarms.json
}

resource "aws_sns_topic_subscription" "email" {
  for_each = var.alarm_emails

  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = each.key
}

# --- Alarms.

resource "aws_cloudwatch_metric_alarm" "dead_letters" {
  alarm_name          = "${var.name}-dead-letters"
  alarm_description   = "A job was given up, or a message is not one of ours. ${local.runbook}, \"dead-letters\"."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = var.dead_letters_name }
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
  tags                = var.tags
}

resource "aws_cloudwatch_metric_alarm" "failed_jobs" {
  alarm_name          = "${var.name}-failed-jobs"
  alarm_description   = "A job has failed for good: somebody waits for photos that will not come. ${local.runbook}, \"failed-jobs\"."
  namespace           = local.namespace
  metric_name         = "JobsFailed"
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  tags                = var.tags
}

resource "aws_cloudwatch_metric_alarm" "oldest_message" {
  alarm_name          = "${var.name}-oldest-message"
  alarm_description   = "Jobs have been waiting for ${var.oldest_message_minutes} minutes: there are no containers, or too few. ${local.runbook}, \"oldest-message\"."
  evaluation_periods  = 3
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.oldest_message_minutes * 60
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
  tags                = var.tags

  # The age is also that of messages somebody works on, and large events take their time.
  metric_query {
    id          = "age"
    label       = "Age of the oldest message while some wait"
    expression  = "IF(waiting > 0, oldest, 0)"
    return_data = true
  }

  dynamic "metric_query" {
    for_each = { waiting = "ApproximateNumberOfMessagesVisible", oldest = "ApproximateAgeOfOldestMessage" }

    content {
      id          = metric_query.key
      return_data = false

      metric {
        namespace   = "AWS/SQS"
        metric_name = metric_query.value
        dimensions  = { QueueName = var.queue_name }
        period      = 60
        stat        = "Maximum"
      }
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "no_progress" {
  alarm_name          = "${var.name}-no-progress"
  alarm_description   = "There have been jobs for ${var.no_progress_minutes} minutes, and none has ended in any way. ${local.runbook}, \"no-progress\"."
  evaluation_periods  = var.no_progress_minutes / 5
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
  tags                = var.tags

  # Whatever becomes of a job for good, its message is deleted. This is the queue's own metric, since one of
  # ours that was not written for so long has no values at all, which no expression fills.
  metric_query {
    id          = "stuck"
    label       = "Jobs, if none has ended"
    expression  = "IF(deleted == 0, waiting + taken, 0)"
    return_data = true
  }

  dynamic "metric_query" {
    # Of a queue that was empty for a moment nobody says that it is stuck.
    for_each = {
      waiting = { name = "ApproximateNumberOfMessagesVisible", stat = "Minimum" }
      taken   = { name = "ApproximateNumberOfMessagesNotVisible", stat = "Minimum" }
      deleted = { name = "NumberOfMessagesDeleted", stat = "Sum" }
    }

    content {
      id          = metric_query.key
      return_data = false

      metric {
        namespace   = "AWS/SQS"
        metric_name = metric_query.value.name
        dimensions  = { QueueName = var.queue_name }
        period      = 300
        stat        = metric_query.value.stat
      }
    }
  }
}

# Containers that end badly after all their attempts. Batch has no metric of that, but says so.
resource "aws_cloudwatch_event_rule" "failed_container" {
  name        = "${var.name}-failed-container"
  description = "Tells of containers that have failed for good"
  tags        = var.tags

  event_pattern = jsonencode({
    source      = ["aws.batch"]
    detail-type = ["Batch Job State Change"]
    detail      = { jobQueue = [var.job_queue_arn], status = ["FAILED"] }
  })
}

resource "aws_cloudwatch_event_target" "failed_container" {
  rule = aws_cloudwatch_event_rule.failed_container.name
  arn  = aws_sns_topic.alarms.arn

  input_transformer {
    input_paths = {
      id     = "$.detail.jobId"
      name   = "$.detail.jobName"
      reason = "$.detail.statusReason"
    }
    input_template = "\"A container of ${var.name} has failed: <name> (<id>): <reason>. ${local.runbook}, failed-container.\""
  }
}

# --- Costs.

resource "aws_budgets_budget" "monthly" {
  count = var.monthly_budget_usd == null ? 0 : 1

  name         = var.name
  budget_type  = "COST"
  limit_amount = tostring(var.monthly_budget_usd)
  limit_unit   = "USD"
  time_unit    = "MONTHLY"
  tags         = var.tags

  # `Project` must be activated as a cost allocation tag in the billing console once.
  cost_filter {
    name   = "TagKeyValue"
    values = [format("user:Project$%s", var.name)]
  }

  dynamic "notification" {
    for_each = toset([80, 100])

    content {
      comparison_operator       = "GREATER_THAN"
      notification_type         = "ACTUAL"
      threshold                 = notification.value
      threshold_type            = "PERCENTAGE"
      subscriber_sns_topic_arns = [aws_sns_topic.alarms.arn]
    }
  }
}
