output "secrets" {
  description = "Secrets of the container, by the name that they have in its environment."
  value = merge(
    { for module in module.smtp_url : "SMTP_URL" => module.arn },
    { for module in module.webhook_secret : "WEBHOOK_SECRET" => module.arn },
  )
}

output "dkim_records" {
  description = "CNAME records for the domain's DNS, by which SES shows that the domain is ours."
  value = {
    for token in try(aws_sesv2_email_identity.this[0].dkim_signing_attributes[0].tokens, []) :
    "${token}._domainkey.${var.ses_domain}" => "${token}.dkim.amazonses.com"
  }
}
