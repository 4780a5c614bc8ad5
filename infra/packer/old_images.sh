#!/bin/sh
# Remove all machine images of a kind (swath or swath-gpu) but the newest ones: sh old_images.sh aws|gcp KIND HOW_MANY_STAY
# AWS: in REGION; Google Cloud: in PROJECT.
set -eu
cloud=$1 kind=$2 stay=$3

if [ "$cloud" = aws ]; then
    aws ec2 describe-images --region "$REGION" --owners self --filters "Name=tag:Name,Values=$kind" --output text \
        --query 'reverse(sort_by(Images, &CreationDate))[].[ImageId, BlockDeviceMappings[0].Ebs.SnapshotId]' \
        | tail -n "+$((stay + 1))" | while read -r image snapshot; do
        aws ec2 deregister-image --region "$REGION" --image-id "$image"
        aws ec2 delete-snapshot --region "$REGION" --snapshot-id "$snapshot"
    done
else
    gcloud compute images list --project="$PROJECT" --no-standard-images --filter="family=$kind" --sort-by=~creationTimestamp \
        --format='value(name)' | tail -n "+$((stay + 1))" | while read -r image; do
        gcloud compute images delete "$image" --project="$PROJECT" --quiet
    done
fi
