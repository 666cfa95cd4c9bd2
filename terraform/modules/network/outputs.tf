output "vpc_id" {
  description = "The VPC."
  value       = local.vpc_id
}

output "subnet_ids" {
  description = "The subnets that instances are started in."
  value       = var.existing != null ? var.existing.subnet_ids : [for subnet in aws_subnet.public : subnet.id]
}

output "security_group_id" {
  description = "The security group of the instances."
  value       = aws_security_group.instances.id
}

output "egress_ports" {
  description = "TCP ports that containers may connect to."
  value       = toset([for rule in aws_vpc_security_group_egress_rule.tcp : rule.from_port])
}
