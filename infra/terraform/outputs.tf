output "settings" {
  description = "The studio's settings (MEMORIAL_*) that follow from this."
  value = {
    MEMORIAL_STORE             = "s3://${aws_s3_bucket.this["vault"].id}"
    MEMORIAL_KMS_KEY_ID        = aws_kms_key.this["subjects"].arn
    MEMORIAL_STEP_ROLE_ARN     = aws_iam_role.assumed["data"].arn
    MEMORIAL_STEP_ROLE_SECONDS = aws_iam_role.assumed["data"].max_session_duration
    MEMORIAL_DELIVERY_BUCKET   = aws_s3_bucket.this["deliveries"].id
    MEMORIAL_DELIVERY_KMS_KEY  = aws_kms_key.this["storage"].arn
    MEMORIAL_DELIVERY_ROLE     = aws_iam_role.assumed["delivery"].arn
  }
}

output "buckets" {
  value = { for name, bucket in aws_s3_bucket.this : name => bucket.id }
}

output "keys" {
  value = { for name, key in aws_kms_key.this : name => key.arn }
}

output "roles" {
  description = "control, gate: annotation eks.amazonaws.com/role-arn of Airflow's and of the link gate's service account."
  value       = { for name, role in merge(aws_iam_role.service, aws_iam_role.assumed) : name => role.arn }
}

output "database" {
  description = "Address, and the secret that holds the administrator's password; null when another database is used."
  value = one([for made in aws_db_instance.this : {
    address = made.address
    port    = made.port
    secret  = one(made.master_user_secret[*].secret_arn)
  }])
}

output "repositories" {
  value = { for name, repository in aws_ecr_repository.this : name => repository.repository_url }
}
