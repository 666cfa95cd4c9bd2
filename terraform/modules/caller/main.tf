# Whoever hands in jobs: the Worker, a backend, the `submit` command. A user, because a Worker has no role;
# its keys are made by whoever gives them to the Worker (`aws iam create-access-key`), so that they are in
# no state. Other callers attach the policy to a role of theirs.

data "aws_iam_policy_document" "send" {
  statement {
    sid       = "HandIn"
    actions   = ["sqs:GetQueueAttributes", "sqs:SendMessage"]
    resources = [var.queue_arn]
  }
}

data "aws_iam_policy_document" "ask" {
  statement {
    sid       = "AskForContainers"
    actions   = ["batch:SubmitJob"]
    resources = [var.job_queue_arn, var.job_definition_arn, "${var.job_definition_arn}:*"]
  }

  # AWS has no finer resource for this ("Actions, resources, and condition keys for AWS Batch"). `DescribeJobs` is not
  # among it: it shows the environment of every job of the account.
  statement {
    sid       = "CountContainers"
    actions   = ["batch:ListJobs"]
    resources = ["*"]
  }
}

data "aws_iam_policy_document" "ring" {
  count = var.with_doorbell ? 1 : 0

  statement {
    sid       = "Ring"
    actions   = ["sqs:SendMessage"]
    resources = [var.doorbell_arn]
  }
}

# Who may ring need not ask Batch, and then must not: a container's command and environment could be chosen.
data "aws_iam_policy_document" "submit" {
  source_policy_documents = [
    data.aws_iam_policy_document.send.json,
    var.with_doorbell ? data.aws_iam_policy_document.ring[0].json : data.aws_iam_policy_document.ask.json,
  ]
}

# For operators: `submit retry --dead-letters`, `submit forget`. Callers need not see what others have handed in.
data "aws_iam_policy_document" "operate" {
  source_policy_documents = concat(
    [data.aws_iam_policy_document.send.json, data.aws_iam_policy_document.ask.json],
    data.aws_iam_policy_document.ring[*].json,
  )

  # For `submit status`: where a container's log is.
  statement {
    sid       = "DescribeContainers"
    actions   = ["batch:DescribeJobs"]
    resources = ["*"]
  }

  statement {
    sid       = "ForgetMessages"
    actions   = ["sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:GetQueueUrl", "sqs:ReceiveMessage"]
    resources = [var.queue_arn]
  }

  # For `submit status`: letters that came back.
  dynamic "statement" {
    for_each = var.with_feedback ? [1] : []

    content {
      sid       = "TakeInFeedback"
      actions   = ["sqs:DeleteMessage", "sqs:ReceiveMessage"]
      resources = [var.feedback_arn]
    }
  }

  statement {
    sid       = "LookAtDeadLetters"
    actions   = ["sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:GetQueueUrl", "sqs:ReceiveMessage"]
    resources = [var.dead_letters_arn]
  }
}

resource "aws_iam_policy" "submit" {
  name        = "${var.name}-submit"
  description = "What handing in jobs to ${var.name} needs"
  policy      = data.aws_iam_policy_document.submit.json
  tags        = var.tags
}

resource "aws_iam_policy" "operate" {
  name        = "${var.name}-operate"
  description = "What operating ${var.name} with the submit command needs"
  policy      = data.aws_iam_policy_document.operate.json
  tags        = var.tags
}

resource "aws_iam_user" "caller" {
  name = "${var.name}-caller"
  tags = var.tags
}

resource "aws_iam_user_policy_attachment" "caller" {
  user       = aws_iam_user.caller.name
  policy_arn = aws_iam_policy.submit.arn
}
