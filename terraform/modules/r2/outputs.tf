output "secret_arn" {
  description = "The secret with the keys: `R2_SECRET_ARN` of the containers."
  value       = module.keys.arn
}
