locals {
  region = data.aws_region.current.name

  ours  = { for name in ["AttemptsFailed", "AttemptsInterrupted", "Bytes", "JobsDone", "JobsFailed", "Photos", "PhotosMissing", "PeakMemory", "Probing", "QueueWait", "Restarts", "Retries", "Throughput", "Transferring"] : name => [local.namespace, name] }
  queue = { for name in ["ApproximateNumberOfMessagesVisible", "ApproximateNumberOfMessagesNotVisible", "ApproximateAgeOfOldestMessage"] : name => ["AWS/SQS", name, "QueueName", var.queue_name] }

  # Rows of widgets: title, lines, and what differs from a line chart of sums in five minutes.
  charts = [
    [
      { title = "Jobs", lines = [
        concat(local.ours.JobsDone, [{ label = "done", color = "#2ca02c" }]),
        concat(local.ours.JobsFailed, [{ label = "failed", color = "#d62728" }]),
      ] },
      { title = "Attempts that came to nothing", lines = [
        concat(local.ours.AttemptsFailed, [{ label = "failed, done again" }]),
        concat(local.ours.AttemptsInterrupted, [{ label = "interrupted (Spot, deployments)" }]),
      ] },
      { title = "Queue", stat = "Maximum", period = 60, lines = [
        concat(local.queue.ApproximateNumberOfMessagesVisible, [{ label = "waiting" }]),
        concat(local.queue.ApproximateNumberOfMessagesNotVisible, [{ label = "being worked on" }]),
        ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", var.dead_letters_name, { label = "dead letters", color = "#d62728" }],
      ] },
    ],
    [
      { title = "Throughput of a job, MB/s", stat = "Average", lines = [
        concat(local.ours.Throughput, [{ label = "average" }]),
        concat(local.ours.Throughput, [{ label = "slowest tenth", stat = "p10" }]),
        concat(local.ours.Throughput, [{ label = "fastest tenth", stat = "p90" }]),
      ] },
      { title = "Where the time goes, s a job", stat = "Average", stacked = true, lines = [
        concat(local.ours.QueueWait, [{ label = "waiting for a container" }]),
        concat(local.ours.Probing, [{ label = "looking at photos" }]),
        concat(local.ours.Transferring, [{ label = "moving them" }]),
      ] },
      { title = "Oldest message, s", stat = "Maximum", period = 60, lines = [
        concat(local.queue.ApproximateAgeOfOldestMessage, [{ label = "age" }]),
      ] },
    ],
    [
      { title = "Photos", lines = [
        concat(local.ours.Photos, [{ label = "in archives" }]),
        concat(local.ours.PhotosMissing, [{ label = "missing", color = "#d62728" }]),
      ] },
      { title = "Trouble with origins", lines = [
        concat(local.ours.Retries, [{ label = "requests repeated" }]),
        concat(local.ours.Restarts, [{ label = "plans made again: photos changed" }]),
      ] },
      { title = "Memory of a container, bytes", stat = "Maximum", lines = [
        concat(local.ours.PeakMemory, [{ label = "most" }]),
      ] },
    ],
    [
      { title = "Cost, about, USD a day", period = 86400, lines = [
        concat(local.ours.Bytes, [{ id = "bytes", visible = false }]),
        concat(local.ours.Probing, [{ id = "probing", visible = false }]),
        concat(local.ours.Transferring, [{ id = "transferring", visible = false }]),
        [{ id = "egress", label = "to the internet (${var.egress_usd_per_gb} a GB)", expression = "bytes / 1e9 * ${var.egress_usd_per_gb}" }],
        [{ id = "instances", label = "instances at work (${var.instance_usd_per_hour} an hour)", expression = "(probing + transferring) / 3600 * ${var.instance_usd_per_hour}" }],
      ] },
      { title = "Bytes in archives, a day", period = 86400, lines = [
        concat(local.ours.Bytes, [{ label = "bytes" }]),
      ] },
    ],
  ]

  widgets = concat(
    [for place in flatten([
      for row, charts in local.charts : [
        for column, chart in charts : { row = row, column = column, chart = chart }
      ]
      ]) : {
      type   = "metric"
      x      = place.column * 8
      y      = place.row * 6
      width  = 8
      height = 6
      properties = {
        title   = place.chart.title
        region  = local.region
        view    = "timeSeries"
        stacked = try(place.chart.stacked, false)
        stat    = try(place.chart.stat, "Sum")
        period  = try(place.chart.period, 300)
        metrics = place.chart.lines
        yAxis   = { left = { min = 0 } }
      }
    }],
    [{
      type   = "log"
      x      = 16
      y      = 18
      width  = 8
      height = 6
      properties = {
        title  = "What went wrong last"
        region = local.region
        view   = "table"
        query  = "SOURCE '${aws_cloudwatch_log_group.containers.name}' | fields @timestamp, span.job.id, message | filter level = 'ERROR' | sort @timestamp desc | limit 20"
      }
    }],
  )
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = var.name
  dashboard_body = jsonencode({ widgets = local.widgets })
}
