# Where containers run: public subnets and an internet gateway. There is no NAT gateway on purpose, which
# would take $0.045 for each gigabyte in and out; nothing listens on the instances, and their security
# group lets nothing in.

data "aws_region" "current" {}

data "aws_caller_identity" "current" {}

data "aws_availability_zones" "available" {
  count = var.existing == null && length(var.zones) == 0 ? 1 : 0

  state = "available"

  # Not local zones and the like, which have few instance types.
  filter {
    name   = "opt-in-status"
    values = ["opt-in-not-required"]
  }
}

locals {
  found  = try(sort(data.aws_availability_zones.available[0].names), [])
  zones  = var.existing != null ? [] : length(var.zones) > 0 ? var.zones : slice(local.found, 0, min(3, length(local.found)))
  vpc_id = var.existing != null ? var.existing.vpc_id : aws_vpc.this[0].id
}

resource "aws_vpc" "this" {
  count = var.existing == null ? 1 : 0

  cidr_block           = var.cidr
  enable_dns_support   = true
  enable_dns_hostnames = true
  tags                 = merge(var.tags, { Name = var.name })

  lifecycle {
    precondition {
      condition     = length(local.zones) >= 2
      error_message = "The region shows fewer than two availability zones; name them in `zones`."
    }
  }
}

# Nobody uses the VPC's default security group; so that nobody does by mistake, it allows nothing.
resource "aws_default_security_group" "unused" {
  count = var.existing == null ? 1 : 0

  vpc_id = aws_vpc.this[0].id
  tags   = merge(var.tags, { Name = "${var.name}-unused" })
}

resource "aws_internet_gateway" "this" {
  count = var.existing == null ? 1 : 0

  vpc_id = aws_vpc.this[0].id
  tags   = merge(var.tags, { Name = var.name })
}

resource "aws_subnet" "public" {
  for_each = { for index, zone in local.zones : zone => index }

  vpc_id            = aws_vpc.this[0].id
  availability_zone = each.key
  cidr_block        = cidrsubnet(var.cidr, 4, each.value)
  # Without a public address there is no way to the internet but a NAT gateway.
  map_public_ip_on_launch = true
  tags                    = merge(var.tags, { Name = "${var.name}-${each.key}" })
}

resource "aws_route_table" "public" {
  count = var.existing == null ? 1 : 0

  vpc_id = aws_vpc.this[0].id
  tags   = merge(var.tags, { Name = var.name })
}

resource "aws_route" "internet" {
  count = var.existing == null ? 1 : 0

  route_table_id         = aws_route_table.public[0].id
  destination_cidr_block = "0.0.0.0/0"
  gateway_id             = aws_internet_gateway.this[0].id
}

resource "aws_route_table_association" "public" {
  for_each = aws_subnet.public

  subnet_id      = each.value.id
  route_table_id = aws_route_table.public[0].id
}

# Free. ECR keeps the layers of images in S3, and photos may be there, too.
resource "aws_vpc_endpoint" "s3" {
  count = var.existing == null ? 1 : 0

  vpc_id            = aws_vpc.this[0].id
  service_name      = "com.amazonaws.${data.aws_region.current.name}.s3"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = [aws_route_table.public[0].id]
  tags              = merge(var.tags, { Name = "${var.name}-s3" })
}

resource "aws_security_group" "instances" {
  name        = "${var.name}-instances"
  description = "Instances of ${var.name}: nothing in, few ports out"
  vpc_id      = local.vpc_id
  tags        = merge(var.tags, { Name = "${var.name}-instances" })
}

resource "aws_vpc_security_group_egress_rule" "tcp" {
  for_each = { for port in var.egress_ports : tostring(port) => port }

  security_group_id = aws_security_group.instances.id
  description       = each.key == "443" ? "Photos, the bucket, AWS" : "Port ${each.key}"
  ip_protocol       = "tcp"
  from_port         = each.value
  to_port           = each.value
  cidr_ipv4         = "0.0.0.0/0"
  tags              = var.tags
}

# The VPC's own resolver needs no rule; others (of an existing VPC's DHCP options) do.
resource "aws_vpc_security_group_egress_rule" "dns" {
  for_each = toset(["tcp", "udp"])

  security_group_id = aws_security_group.instances.id
  description       = "DNS"
  ip_protocol       = each.key
  from_port         = 53
  to_port           = 53
  cidr_ipv4         = "0.0.0.0/0"
  tags              = var.tags
}

# --- Flow logs, if wanted.

resource "aws_cloudwatch_log_group" "flow" {
  count = var.existing == null && var.flow_logs ? 1 : 0

  name              = "/aws/vpc/${var.name}"
  retention_in_days = var.log_retention_days
  tags              = var.tags
}

data "aws_iam_policy_document" "flow_trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["vpc-flow-logs.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.current.account_id]
    }
  }
}

data "aws_iam_policy_document" "flow" {
  count = var.existing == null && var.flow_logs ? 1 : 0

  statement {
    sid       = "Write"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"]
    resources = ["${aws_cloudwatch_log_group.flow[0].arn}:*"]
  }
}

resource "aws_iam_role" "flow" {
  count = var.existing == null && var.flow_logs ? 1 : 0

  name               = "${var.name}-flow-logs"
  assume_role_policy = data.aws_iam_policy_document.flow_trust.json
  tags               = var.tags
}

resource "aws_iam_role_policy" "flow" {
  count = var.existing == null && var.flow_logs ? 1 : 0

  name   = "write"
  role   = aws_iam_role.flow[0].id
  policy = data.aws_iam_policy_document.flow[0].json
}

resource "aws_flow_log" "this" {
  count = var.existing == null && var.flow_logs ? 1 : 0

  vpc_id          = aws_vpc.this[0].id
  traffic_type    = "ALL"
  log_destination = aws_cloudwatch_log_group.flow[0].arn
  iam_role_arn    = aws_iam_role.flow[0].arn
  tags            = merge(var.tags, { Name = var.name })
}
