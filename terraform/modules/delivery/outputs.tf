output "secrets" {
  description = "Secrets of the container, by the name that they have in its environment."
  value = merge(
    { for module in module.smtp_url : "SMTP_URL" => module.arn },
    { for module in module.webhook_secret : "WEBHOOK_SECRET" => module.arn },
    { for module in module.unsubscribe_secret : "UNSUBSCRIBE_SECRET" => module.arn },
  )
}

output "feedback" {
  description = "The queue of what SES reports of letters, and how it comes there; none without SES."
  value = {
    url                  = one(aws_sqs_queue.feedback[*].url)
    arn                  = one(aws_sqs_queue.feedback[*].arn)
    events               = one([for destination in aws_sesv2_configuration_set_event_destination.feedback : destination.event_destination[0].matching_event_types])
    raw_message_delivery = one(aws_sns_topic_subscription.feedback[*].raw_message_delivery)
    of_identity          = one(aws_sesv2_email_identity.this[*].configuration_set_name)
  }
}

output "dkim_records" {
  description = "CNAME records for the domain's DNS, by which SES shows that the domain is ours."
  value = {
    for token in try(aws_sesv2_email_identity.this[0].dkim_signing_attributes[0].tokens, []) :
    "${token}._domainkey.${var.ses_domain}" => "${token}.dkim.amazonses.com"
  }
}
