output "kms_key_arn" {
  description = "For kms.aws.master_key_id, or AWS_KMS_MASTER_KEY_ID."
  value       = aws_kms_key.master.arn
}

output "kms_key_alias" {
  description = "For people; the sidecar takes the ARN, which cannot be pointed elsewhere."
  value       = aws_kms_alias.master.name
}

output "aws_region" {
  description = "For kms.aws.region, or AWS_KMS_REGION."
  value       = data.aws_region.current.name
}

output "iam_policy_arn" {
  description = "To be attached to the sidecar's role when role_name is empty."
  value       = aws_iam_policy.use.arn
}

output "checkpoint_key_arn" {
  description = "Asymmetric key of checkpoints; null when there is none."
  value       = one(aws_kms_key.checkpoint[*].arn)
}

output "betrace_environment" {
  description = "Environment variables of the sidecar."
  value = {
    BETRACE_KMS_PROVIDER  = "aws"
    AWS_KMS_MASTER_KEY_ID = aws_kms_key.master.arn
    AWS_KMS_REGION        = data.aws_region.current.name
  }
}
