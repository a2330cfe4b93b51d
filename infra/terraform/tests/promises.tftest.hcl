# What must hold of every studio, checked with no cloud: `terraform test`.
mock_provider "aws" {
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{\"Version\":\"2012-10-17\",\"Statement\":[]}" }
  }
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_region" {
    defaults = { name = "eu-central-1" }
  }
  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:eu-central-1:123456789012:key/00000000-0000-0000-0000-000000000000" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/mocked" }
  }
  mock_resource "aws_s3_bucket" {
    defaults = { arn = "arn:aws:s3:::mocked" }
  }
}

variables {
  name                            = "memorial-test"
  vpc_id                          = "vpc-1"
  database_subnet_ids             = ["subnet-1", "subnet-2"]
  control_plane_security_group_id = "sg-1"
  cluster_oidc_provider_arn       = "arn:aws:iam::123456789012:oidc-provider/oidc.example"
  cluster_oidc_issuer             = "oidc.example"
}

run "database" {
  command = plan
  assert {
    condition     = aws_db_instance.this[0].storage_encrypted && !aws_db_instance.this[0].publicly_accessible
    error_message = "the database is encrypted and not public"
  }
  assert {
    condition     = aws_db_instance.this[0].deletion_protection && aws_db_instance.this[0].backup_retention_period >= 7
    error_message = "the database cannot be deleted by mistake and has a week of backups"
  }
  assert {
    condition     = one([for p in aws_db_parameter_group.this.parameter : p.value if p.name == "rds.force_ssl"]) == "1"
    error_message = "nobody talks to the database without TLS"
  }
  assert {
    condition     = aws_db_instance.this[0].manage_master_user_password
    error_message = "no password of the database lies in the state"
  }
}

run "buckets" {
  command = plan
  assert {
    condition     = alltrue([for v in aws_s3_bucket_versioning.this : v.versioning_configuration[0].status == "Enabled"])
    error_message = "every bucket keeps versions"
  }
  assert {
    condition = alltrue([
      for b in aws_s3_bucket_public_access_block.this :
      b.block_public_acls && b.block_public_policy && b.ignore_public_acls && b.restrict_public_buckets
    ])
    error_message = "no bucket is public"
  }
  assert {
    condition     = [for name, b in aws_s3_bucket.this : name if b.object_lock_enabled] == ["checkpoints"]
    error_message = "Object Lock is for checkpoints only: nothing personal may become undeletable"
  }
  assert {
    condition     = alltrue([for b in aws_s3_bucket.this : !b.force_destroy])
    error_message = "a bucket with something in it is not deleted"
  }
}

run "keys_rotate" {
  command = plan
  assert {
    condition     = alltrue([for k in aws_kms_key.this : k.enable_key_rotation])
    error_message = "every key rotates"
  }
}

run "images" {
  command = plan
  assert {
    condition = alltrue([
      for r in aws_ecr_repository.this :
      r.image_tag_mutability == "IMMUTABLE" && r.image_scanning_configuration[0].scan_on_push
    ])
    error_message = "tags never move and every image is scanned"
  }
}

run "another_database" {
  command = plan
  variables {
    make_database = false
  }
  assert {
    condition     = length(aws_db_instance.this) == 0 && output.database == null
    error_message = "no database is made where one is brought"
  }
}

run "short_retention_is_refused" {
  command = plan
  variables {
    checkpoint_retention_days = 30
  }
  expect_failures = [var.checkpoint_retention_days]
}

run "old_versions_may_not_outlive_an_erasure" {
  command = plan
  variables {
    noncurrent_days = 400
  }
  expect_failures = [var.noncurrent_days]
}
