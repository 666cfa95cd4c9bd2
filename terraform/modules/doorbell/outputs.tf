output "url" {
  description = "URL of the doorbell at SQS."
  value       = aws_sqs_queue.doorbell.url
}

output "asks_for" {
  description = "What the pipe asks for, the same for each ring."
  value = {
    target            = aws_pipes_pipe.doorbell.target
    batch_size        = aws_pipes_pipe.doorbell.source_parameters[0].sqs_queue_parameters[0].batch_size
    target_parameters = aws_pipes_pipe.doorbell.target_parameters[0]
  }
}

output "arn" {
  description = "ARN of the doorbell at SQS."
  value       = aws_sqs_queue.doorbell.arn
}
