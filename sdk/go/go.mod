module a3mailer.internal/sdk

go 1.19
