# What the account says in tests. Everything else that a provider would make up is made up.

mock_data "aws_region" {
  defaults = {
    name = "eu-central-1"
  }
}

mock_data "aws_caller_identity" {
  defaults = {
    account_id = "123456789012"
  }
}

mock_data "aws_partition" {
  defaults = {
    partition = "aws"
  }
}

mock_data "aws_availability_zones" {
  defaults = {
    names = ["eu-central-1c", "eu-central-1a", "eu-central-1b", "eu-central-1d"]
  }
}

mock_data "aws_iam_policy_document" {
  defaults = {
    json = "{\"Version\":\"2012-10-17\",\"Statement\":[]}"
  }
}

mock_resource "aws_iam_role" {
  defaults = {
    arn = "arn:aws:iam::123456789012:role/mocked"
  }
}

mock_resource "aws_iam_policy" {
  defaults = {
    arn = "arn:aws:iam::123456789012:policy/mocked"
  }
}

mock_resource "aws_iam_instance_profile" {
  defaults = {
    arn = "arn:aws:iam::123456789012:instance-profile/mocked"
  }
}

mock_resource "aws_launch_template" {
  defaults = {
    id             = "lt-0123456789abcdef0"
    latest_version = 1
  }
}

mock_resource "aws_batch_compute_environment" {
  defaults = {
    arn = "arn:aws:batch:eu-central-1:123456789012:compute-environment/mocked"
  }
}

mock_resource "aws_batch_job_queue" {
  defaults = {
    arn = "arn:aws:batch:eu-central-1:123456789012:job-queue/mocked"
  }
}

mock_resource "aws_batch_job_definition" {
  defaults = {
    arn = "arn:aws:batch:eu-central-1:123456789012:job-definition/mocked:1"
  }
}

mock_resource "aws_sqs_queue" {
  defaults = {
    arn = "arn:aws:sqs:eu-central-1:123456789012:mocked"
    url = "https://sqs.eu-central-1.amazonaws.com/123456789012/mocked"
    id  = "https://sqs.eu-central-1.amazonaws.com/123456789012/mocked"
  }
}

mock_resource "aws_ecr_repository" {
  defaults = {
    arn            = "arn:aws:ecr:eu-central-1:123456789012:repository/mocked"
    repository_url = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/mocked"
  }
}

mock_resource "aws_secretsmanager_secret" {
  defaults = {
    arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:mocked"
    id  = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:mocked"
  }
}

mock_resource "aws_secretsmanager_secret_version" {
  defaults = {
    arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:mocked"
  }
}

mock_resource "aws_cloudwatch_log_group" {
  defaults = {
    arn = "arn:aws:logs:eu-central-1:123456789012:log-group:mocked"
  }
}

mock_resource "aws_cloudwatch_metric_alarm" {
  defaults = {
    arn = "arn:aws:cloudwatch:eu-central-1:123456789012:alarm:mocked"
  }
}

mock_resource "aws_sns_topic" {
  defaults = {
    arn = "arn:aws:sns:eu-central-1:123456789012:mocked"
  }
}

mock_resource "aws_sesv2_email_identity" {
  defaults = {
    dkim_signing_attributes = {
      tokens = ["first", "second", "third"]
    }
  }
}

mock_resource "aws_iam_access_key" {
  defaults = {
    id                   = "AKIAMOCKED"
    ses_smtp_password_v4 = "pass/word+="
  }
}
