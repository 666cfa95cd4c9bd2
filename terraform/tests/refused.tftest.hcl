# Values that must be refused, each with the variable that refuses it.

mock_provider "aws" {
  source = "./tests/aws"
}

variables {
  image_digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
  r2_endpoint  = "https://account.r2.cloudflarestorage.com"
  r2_bucket    = "wedding-photos"
}

run "tag_instead_of_digest" {
  command = plan

  variables {
    image_digest = "latest"
  }

  expect_failures = [var.image_digest]
}

run "digest_too_short" {
  command = plan

  variables {
    image_digest = "sha256:0123"
  }

  expect_failures = [var.image_digest]
}

run "endpoint_without_https" {
  command = plan

  variables {
    r2_endpoint = "http://account.r2.cloudflarestorage.com"
  }

  expect_failures = [var.r2_endpoint]
}

run "endpoint_with_bucket" {
  command = plan

  variables {
    r2_endpoint = "https://account.r2.cloudflarestorage.com/wedding-photos"
  }

  expect_failures = [var.r2_endpoint]
}

run "bucket_in_capitals" {
  command = plan

  variables {
    r2_bucket = "Wedding_Photos"
  }

  expect_failures = [var.r2_bucket]
}

run "r2_keys_version_zero" {
  command = plan

  variables {
    r2_keys_version = 0
  }

  expect_failures = [var.r2_keys_version]
}

run "smtp_url_of_the_web" {
  command = plan

  variables {
    smtp_url = "https://smtp.example.com"
  }

  expect_failures = [var.smtp_url]
}

run "smtp_url_with_unescaped_slash" {
  command = plan

  variables {
    smtp_url = "smtps://user:pass/word@smtp.example.com"
  }

  expect_failures = [var.smtp_url]
}

run "smtp_url_version_zero" {
  command = plan

  variables {
    smtp_url_version = 0
  }

  expect_failures = [var.smtp_url_version]
}

run "webhook_secret_version_fraction" {
  command = plan

  variables {
    webhook_secret_version = 0.5
  }

  expect_failures = [var.webhook_secret_version]
}

run "webhook_secret_version_negative" {
  command = plan

  variables {
    webhook_secret_version = -1
  }

  expect_failures = [var.webhook_secret_version]
}

run "google_credentials_path" {
  command = plan

  variables {
    google_credentials = "/etc/key.json"
  }

  expect_failures = [var.google_credentials]
}

run "google_credentials_without_type" {
  command = plan

  variables {
    google_credentials = "{}"
  }

  expect_failures = [var.google_credentials]
}

run "google_credentials_version_negative" {
  command = plan

  variables {
    google_credentials_version = -1
  }

  expect_failures = [var.google_credentials_version]
}

run "name_in_capitals" {
  command = plan

  variables {
    name = "Photos"
  }

  expect_failures = [var.name]
}

run "name_too_long" {
  command = plan

  variables {
    name = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
  }

  expect_failures = [var.name]
}

run "host_with_scheme" {
  command = plan

  variables {
    allowed_hosts = ["https://photos.example.com"]
  }

  expect_failures = [var.allowed_hosts]
}

run "webhook_host_with_scheme" {
  command = plan

  variables {
    webhook_hosts = ["https://hooks.example.com"]
  }

  expect_failures = [var.webhook_hosts]
}

run "no_webhook_host" {
  command = plan

  variables {
    webhook_hosts = []
  }

  expect_failures = [var.webhook_hosts]
}

run "unsubscribe_page_without_a_signature" {
  command = plan

  variables {
    unsubscribe_url = "https://photos.example.com/unsubscribe"
  }

  expect_failures = [var.unsubscribe_secret_version]
}

run "unsubscribe_page_without_encryption" {
  command = plan

  variables {
    unsubscribe_url            = "http://photos.example.com/unsubscribe"
    unsubscribe_secret_version = 1
  }

  expect_failures = [var.unsubscribe_url]
}

run "no_letter_at_all" {
  command = plan

  variables {
    mail_max_per_address = 0
  }

  expect_failures = [var.mail_max_per_address]
}

run "bucket_without_scheme" {
  command = plan

  variables {
    allowed_buckets = ["my-bucket"]
  }

  expect_failures = [var.allowed_buckets]
}

run "mail_from_without_address" {
  command = plan

  variables {
    mail_from = "Photos"
  }

  expect_failures = [var.mail_from]
}

run "mail_from_half_bracket" {
  command = plan

  variables {
    mail_from = "Photos <photos@example.com"
  }

  expect_failures = [var.mail_from]
}

run "ses_without_sender" {
  command = plan

  variables {
    ses_domain = "example.com"
  }

  expect_failures = [var.ses_domain]
}

run "smtp_port_25" {
  command = plan

  variables {
    smtp_port = 25
  }

  expect_failures = [var.smtp_port]
}

run "alerts_without_sender" {
  command = plan

  variables {
    alert_to = ["night@example.com"]
  }

  expect_failures = [var.alert_to]
}

run "public_bucket_of_jobs" {
  command = plan

  variables {
    public_base_url = "https://photos.example.com"
  }

  expect_failures = [var.public_base_url]
}

run "archives_in_the_bucket_of_jobs" {
  command = plan

  variables {
    r2_archive_bucket = "wedding-photos"
  }

  expect_failures = [var.r2_archive_bucket]
}

run "public_base_url_http" {
  command = plan

  variables {
    r2_archive_bucket = "wedding-archives"
    public_base_url   = "http://photos.example.com"
  }

  expect_failures = [var.public_base_url]
}

run "public_base_url_query" {
  command = plan

  variables {
    r2_archive_bucket = "wedding-archives"
    public_base_url   = "https://photos.example.com/?a=b"
  }

  expect_failures = [var.public_base_url]
}

run "vpc_without_subnets" {
  command = plan

  variables {
    existing_network = { vpc_id = "vpc-1", subnet_ids = [] }
  }

  expect_failures = [var.existing_network]
}

run "vpc_that_is_none" {
  command = plan

  variables {
    existing_network = { vpc_id = "main", subnet_ids = ["subnet-1"] }
  }

  expect_failures = [var.existing_network]
}

run "subnet_that_is_none" {
  command = plan

  variables {
    existing_network = { vpc_id = "vpc-1", subnet_ids = ["a"] }
  }

  expect_failures = [var.existing_network]
}

run "ses_of_another_domain" {
  command = plan

  variables {
    ses_domain = "example.com"
    mail_from  = "Photos <photos@example.org>"
  }

  expect_failures = [var.ses_domain]
}
