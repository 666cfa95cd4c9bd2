output "user" {
  description = "The user whose keys the caller gets."
  value       = aws_iam_user.caller.name
}

output "submit_policy_arn" {
  description = "What handing in jobs needs, for a role."
  value       = aws_iam_policy.submit.arn
}

output "operate_policy_arn" {
  description = "What operating with `submit` needs, for a role."
  value       = aws_iam_policy.operate.arn
}

output "environment" {
  description = "The caller's environment, as a file that a shell and `wrangler` read; secrets are left for whoever has them."
  value = join("\n", concat(
    [for name in sort(keys(var.environment)) : "${name}=${var.environment[name]}"],
    [
      "# aws iam create-access-key --user-name ${aws_iam_user.caller.name}",
      "BATCH_AWS_ACCESS_KEY=",
      "BATCH_AWS_SECRET_KEY=",
      "# An R2 token with Object Read & Write on the bucket, best one of the caller's own",
      "R2_ACCESS_KEY=",
      "R2_SECRET_KEY=",
      "",
    ],
  ))
}
