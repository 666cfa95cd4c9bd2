output "url" {
  description = "URL of the job queue at SQS."
  value       = aws_sqs_queue.jobs.url
}

output "arn" {
  description = "ARN of the job queue at SQS."
  value       = aws_sqs_queue.jobs.arn
}

output "name" {
  description = "Name of the job queue at SQS."
  value       = aws_sqs_queue.jobs.name
}

output "dead_letters" {
  description = "The dead-letter queue."
  value = {
    url  = aws_sqs_queue.dead_letters.url
    arn  = aws_sqs_queue.dead_letters.arn
    name = aws_sqs_queue.dead_letters.name
  }
}
