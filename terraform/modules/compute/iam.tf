# Who may do what: the instance (to be one of Batch's), ECS on behalf of the container before it starts
# (execution), and the container itself (job).

data "aws_iam_policy_document" "instance_trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ec2.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "instance" {
  name               = "${var.name}-instance"
  assume_role_policy = data.aws_iam_policy_document.instance_trust.json
  tags               = var.tags
}

# What Batch's documentation asks for ("Amazon ECS instance role").
resource "aws_iam_role_policy_attachment" "instance" {
  role       = aws_iam_role.instance.name
  policy_arn = "arn:${local.partition}:iam::aws:policy/service-role/AmazonEC2ContainerServiceforEC2Role"
}

resource "aws_iam_instance_profile" "instance" {
  name = "${var.name}-instance"
  role = aws_iam_role.instance.name
  tags = var.tags
}

data "aws_iam_policy_document" "task_trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.current.account_id]
    }
  }
}

# --- Before the container starts: its image, its secrets, its log.

data "aws_iam_policy_document" "execution" {
  # AWS has no finer resource for this.
  statement {
    sid       = "LogInToRegistry"
    actions   = ["ecr:GetAuthorizationToken"]
    resources = ["*"]
  }

  statement {
    sid       = "PullImage"
    actions   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    resources = [var.repository_arn]
  }

  statement {
    sid       = "WriteLog"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${var.log_group.arn}:*"]
  }

  dynamic "statement" {
    for_each = length(local.secrets) > 0 ? [1] : []

    content {
      sid       = "ReadSecrets"
      actions   = ["secretsmanager:GetSecretValue"]
      resources = values(local.secrets)
    }
  }
}

resource "aws_iam_role" "execution" {
  name               = "${var.name}-execution"
  assume_role_policy = data.aws_iam_policy_document.task_trust.json
  tags               = var.tags
}

resource "aws_iam_role_policy" "execution" {
  name   = "start-container"
  role   = aws_iam_role.execution.id
  policy = data.aws_iam_policy_document.execution.json
}

# --- The container.

data "aws_iam_policy_document" "job" {
  statement {
    sid = "DrainQueue"
    actions = [
      "sqs:ChangeMessageVisibility",
      "sqs:DeleteMessage",
      "sqs:GetQueueAttributes",
      "sqs:ReceiveMessage",
      "sqs:SendMessage",
    ]
    resources = [var.queue_arn]
  }

  statement {
    sid       = "PutAside"
    actions   = ["sqs:GetQueueUrl", "sqs:SendMessage"]
    resources = [var.dead_letters_arn]
  }

  dynamic "statement" {
    for_each = var.with_feedback ? [1] : []

    content {
      sid       = "TakeInFeedback"
      actions   = ["sqs:DeleteMessage", "sqs:ReceiveMessage"]
      resources = [var.feedback_arn]
    }
  }

  dynamic "statement" {
    for_each = length(var.readable_secret_arns) > 0 ? [1] : []

    content {
      sid       = "ReadKeys"
      actions   = ["secretsmanager:GetSecretValue"]
      resources = var.readable_secret_arns
    }
  }
}

resource "aws_iam_role" "job" {
  name               = "${var.name}-job"
  assume_role_policy = data.aws_iam_policy_document.task_trust.json
  tags               = var.tags
}

resource "aws_iam_role_policy" "job" {
  name   = "work"
  role   = aws_iam_role.job.id
  policy = data.aws_iam_policy_document.job.json
}
