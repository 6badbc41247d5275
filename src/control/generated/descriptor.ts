/** Generated from src/control/proto by `make generate`. */
export const descriptor = {
  "nested": {
    "palisade": {
      "nested": {
        "CreateVolumeRequest": {
          "fields": {
            "name": {
              "type": "string",
              "id": 1
            },
            "sizeBytes": {
              "type": "uint64",
              "id": 2,
              "protoName": "size_bytes"
            },
            "stripe": {
              "type": "uint32",
              "id": 3
            },
            "partitions": {
              "rule": "repeated",
              "type": "Partition",
              "id": 4
            },
            "stalePolicy": {
              "type": "StalePolicy",
              "id": 5,
              "protoName": "stale_policy"
            },
            "holdMs": {
              "type": "uint32",
              "id": 6,
              "protoName": "hold_ms"
            },
            "leaseMs": {
              "type": "uint32",
              "id": 7,
              "protoName": "lease_ms"
            },
            "blockBytes": {
              "type": "uint32",
              "id": 8,
              "protoName": "block_bytes"
            },
            "removable": {
              "type": "bool",
              "id": 9
            },
            "readOnly": {
              "type": "bool",
              "id": 10,
              "protoName": "read_only"
            },
            "stripeUnitBytes": {
              "type": "uint64",
              "id": 11,
              "protoName": "stripe_unit_bytes"
            },
            "mirror": {
              "type": "uint32",
              "id": 12
            }
          }
        },
        "Partition": {
          "fields": {
            "server": {
              "type": "string",
              "id": 1
            },
            "sizeBytes": {
              "type": "uint64",
              "id": 2,
              "protoName": "size_bytes"
            },
            "others": {
              "rule": "repeated",
              "type": "string",
              "id": 3
            }
          }
        },
        "VolumeReply": {
          "fields": {
            "map": {
              "type": "VolumeMap",
              "id": 1
            },
            "shutOutMs": {
              "type": "double",
              "id": 2,
              "protoName": "shut_out_ms"
            },
            "warnings": {
              "rule": "repeated",
              "type": "string",
              "id": 3
            }
          }
        },
        "ListVolumesRequest": {
          "fields": {}
        },
        "ListVolumesReply": {
          "fields": {
            "maps": {
              "rule": "repeated",
              "type": "VolumeMap",
              "id": 1
            }
          }
        },
        "ShowVolumeRequest": {
          "fields": {
            "name": {
              "type": "string",
              "id": 1
            }
          }
        },
        "ShowVolumeReply": {
          "fields": {
            "map": {
              "type": "VolumeMap",
              "id": 1
            },
            "status": {
              "type": "VolumeStatus",
              "id": 2
            }
          }
        },
        "GrowVolumeRequest": {
          "fields": {
            "name": {
              "type": "string",
              "id": 1
            },
            "sizeBytes": {
              "type": "uint64",
              "id": 2,
              "protoName": "size_bytes"
            }
          }
        },
        "DeleteVolumeRequest": {
          "fields": {
            "name": {
              "type": "string",
              "id": 1
            },
            "force": {
              "type": "bool",
              "id": 2
            }
          }
        },
        "DeleteVolumeReply": {
          "fields": {}
        },
        "FenceRequest": {
          "fields": {
            "volume": {
              "type": "string",
              "id": 1
            },
            "client": {
              "type": "string",
              "id": 2
            }
          }
        },
        "AdmitRequest": {
          "fields": {
            "volume": {
              "type": "string",
              "id": 1
            },
            "client": {
              "type": "string",
              "id": 2
            }
          }
        },
        "VerifyVolumeRequest": {
          "fields": {
            "name": {
              "type": "string",
              "id": 1
            },
            "start": {
              "type": "bool",
              "id": 2
            },
            "repair": {
              "type": "bool",
              "id": 3
            }
          }
        },
        "VerifyVolumeReply": {
          "fields": {
            "segments": {
              "rule": "repeated",
              "type": "VerifiedSegment",
              "id": 1
            }
          }
        },
        "VerifiedSegment": {
          "fields": {
            "server": {
              "type": "string",
              "id": 1
            },
            "startBlock": {
              "type": "uint64",
              "id": 2,
              "protoName": "start_block"
            },
            "verification": {
              "type": "SegmentVerification",
              "id": 3
            },
            "named": {
              "rule": "repeated",
              "type": "NamedDifference",
              "id": 4
            }
          }
        },
        "NamedDifference": {
          "fields": {
            "server": {
              "type": "string",
              "id": 1
            },
            "lba": {
              "type": "uint64",
              "id": 2
            },
            "blocks": {
              "type": "uint64",
              "id": 3
            }
          }
        },
        "ClearReservationsRequest": {
          "fields": {
            "volume": {
              "type": "string",
              "id": 1
            }
          }
        },
        "AddServerRequest": {
          "fields": {
            "address": {
              "type": "string",
              "id": 1
            },
            "name": {
              "type": "string",
              "id": 2
            },
            "domain": {
              "type": "string",
              "id": 3
            }
          }
        },
        "SetDomainRequest": {
          "fields": {
            "name": {
              "type": "string",
              "id": 1
            },
            "domain": {
              "type": "string",
              "id": 2
            }
          }
        },
        "ServerReply": {
          "fields": {
            "server": {
              "type": "ServerStatus",
              "id": 1
            }
          }
        },
        "ListServersRequest": {
          "fields": {}
        },
        "ListServersReply": {
          "fields": {
            "servers": {
              "rule": "repeated",
              "type": "ServerStatus",
              "id": 1
            }
          }
        },
        "ShowServerRequest": {
          "fields": {
            "name": {
              "type": "string",
              "id": 1
            }
          }
        },
        "RemoveServerRequest": {
          "fields": {
            "name": {
              "type": "string",
              "id": 1
            }
          }
        },
        "RemoveServerReply": {
          "fields": {}
        },
        "DeclareDeadRequest": {
          "fields": {
            "name": {
              "type": "string",
              "id": 1
            }
          }
        },
        "ServerStatus": {
          "fields": {
            "server": {
              "type": "ServerFacts",
              "id": 1
            },
            "adopted": {
              "type": "bool",
              "id": 2
            },
            "reachable": {
              "type": "bool",
              "id": 3
            },
            "declaredDead": {
              "type": "bool",
              "id": 4,
              "protoName": "declared_dead"
            },
            "plannedBytes": {
              "type": "uint64",
              "id": 5,
              "protoName": "planned_bytes"
            },
            "volumes": {
              "rule": "repeated",
              "type": "string",
              "id": 6
            },
            "lastHeardMs": {
              "type": "uint64",
              "id": 7,
              "protoName": "last_heard_ms"
            },
            "domain": {
              "type": "string",
              "id": 8
            },
            "reservedBytes": {
              "type": "uint64",
              "id": 9,
              "protoName": "reserved_bytes"
            }
          }
        },
        "RecoveryRequest": {
          "oneofs": {
            "_bytesPerSecond": {
              "oneof": [
                "bytesPerSecond"
              ]
            },
            "_graceMs": {
              "oneof": [
                "graceMs"
              ]
            }
          },
          "fields": {
            "bytesPerSecond": {
              "type": "uint64",
              "id": 1,
              "protoName": "bytes_per_second",
              "options": {
                "proto3_optional": true
              }
            },
            "graceMs": {
              "type": "uint64",
              "id": 2,
              "protoName": "grace_ms",
              "options": {
                "proto3_optional": true
              }
            }
          }
        },
        "RecoveryReply": {
          "fields": {
            "settings": {
              "type": "RecoverySettings",
              "id": 1
            },
            "replicas": {
              "rule": "repeated",
              "type": "RecoveringReplica",
              "id": 2
            }
          }
        },
        "RecoveringReplica": {
          "fields": {
            "volume": {
              "type": "string",
              "id": 1
            },
            "replica": {
              "type": "ReplicaStatus",
              "id": 2
            }
          }
        },
        "StatusRequest": {
          "fields": {}
        },
        "StatusReply": {
          "fields": {
            "term": {
              "type": "uint64",
              "id": 1
            },
            "generation": {
              "type": "uint64",
              "id": 2
            },
            "servers": {
              "rule": "repeated",
              "type": "ServerStatus",
              "id": 3
            },
            "volumes": {
              "rule": "repeated",
              "type": "VolumeStatus",
              "id": 4
            },
            "pendingFences": {
              "rule": "repeated",
              "type": "FenceStatus",
              "id": 5,
              "protoName": "pending_fences"
            },
            "shutOut": {
              "type": "ShutOut",
              "id": 6,
              "protoName": "shut_out"
            },
            "warnings": {
              "rule": "repeated",
              "type": "string",
              "id": 7
            },
            "watchingClients": {
              "type": "uint32",
              "id": 8,
              "protoName": "watching_clients"
            },
            "relayedConnections": {
              "type": "uint32",
              "id": 9,
              "protoName": "relayed_connections"
            },
            "relayedConnectionsTotal": {
              "type": "uint64",
              "id": 10,
              "protoName": "relayed_connections_total"
            },
            "reports": {
              "rule": "repeated",
              "type": "ClientReport",
              "id": 11
            },
            "managementPath": {
              "rule": "repeated",
              "type": "string",
              "id": 12,
              "protoName": "management_path"
            },
            "gateways": {
              "rule": "repeated",
              "type": "GatewayStatus",
              "id": 13
            }
          }
        },
        "GatewayStatus": {
          "fields": {
            "client": {
              "type": "string",
              "id": 1
            },
            "group": {
              "type": "uint32",
              "id": 2
            },
            "addresses": {
              "rule": "repeated",
              "type": "string",
              "id": 3
            },
            "sessions": {
              "type": "uint32",
              "id": 4
            },
            "active": {
              "rule": "repeated",
              "type": "ActiveInitiators",
              "id": 5
            }
          }
        },
        "ActiveInitiators": {
          "fields": {
            "volume": {
              "type": "string",
              "id": 1
            },
            "initiators": {
              "rule": "repeated",
              "type": "string",
              "id": 2
            }
          }
        },
        "VolumeStatus": {
          "fields": {
            "name": {
              "type": "string",
              "id": 1
            },
            "volumeId": {
              "type": "string",
              "id": 2,
              "protoName": "volume_id"
            },
            "generation": {
              "type": "uint64",
              "id": 3
            },
            "sizeBytes": {
              "type": "uint64",
              "id": 4,
              "protoName": "size_bytes"
            },
            "change": {
              "type": "string",
              "id": 5
            },
            "behind": {
              "rule": "repeated",
              "type": "string",
              "id": 6
            },
            "shutOut": {
              "type": "ShutOut",
              "id": 7,
              "protoName": "shut_out"
            },
            "replicas": {
              "rule": "repeated",
              "type": "ReplicaStatus",
              "id": 8
            }
          }
        },
        "ReplicaStatus": {
          "oneofs": {
            "_replacedInMs": {
              "oneof": [
                "replacedInMs"
              ]
            }
          },
          "fields": {
            "segmentId": {
              "type": "string",
              "id": 1,
              "protoName": "segment_id"
            },
            "startBlock": {
              "type": "uint64",
              "id": 2,
              "protoName": "start_block"
            },
            "server": {
              "type": "string",
              "id": 3
            },
            "primary": {
              "type": "bool",
              "id": 4
            },
            "state": {
              "type": "string",
              "id": 5
            },
            "behindBytes": {
              "type": "uint64",
              "id": 6,
              "protoName": "behind_bytes"
            },
            "totalBytes": {
              "type": "uint64",
              "id": 7,
              "protoName": "total_bytes"
            },
            "bytesPerSecond": {
              "type": "uint64",
              "id": 8,
              "protoName": "bytes_per_second"
            },
            "copiedBytes": {
              "type": "uint64",
              "id": 9,
              "protoName": "copied_bytes"
            },
            "comparingBytes": {
              "type": "uint64",
              "id": 10,
              "protoName": "comparing_bytes"
            },
            "diskFailed": {
              "type": "bool",
              "id": 11,
              "protoName": "disk_failed"
            },
            "replacedInMs": {
              "type": "uint64",
              "id": 12,
              "protoName": "replaced_in_ms",
              "options": {
                "proto3_optional": true
              }
            }
          }
        },
        "FenceStatus": {
          "fields": {
            "volume": {
              "type": "string",
              "id": 1
            },
            "client": {
              "type": "string",
              "id": 2
            },
            "waitingFor": {
              "rule": "repeated",
              "type": "string",
              "id": 3,
              "protoName": "waiting_for"
            },
            "sinceWallMs": {
              "type": "uint64",
              "id": 4,
              "protoName": "since_wall_ms"
            }
          }
        },
        "ShutOut": {
          "fields": {
            "changes": {
              "type": "uint64",
              "id": 1
            },
            "lastMs": {
              "type": "double",
              "id": 2,
              "protoName": "last_ms"
            },
            "maxMs": {
              "type": "double",
              "id": 3,
              "protoName": "max_ms"
            },
            "totalMs": {
              "type": "double",
              "id": 4,
              "protoName": "total_ms"
            },
            "histogram": {
              "rule": "repeated",
              "type": "ShutOutBucket",
              "id": 5
            }
          }
        },
        "ShutOutBucket": {
          "fields": {
            "upToMs": {
              "type": "uint32",
              "id": 1,
              "protoName": "up_to_ms"
            },
            "changes": {
              "type": "uint64",
              "id": 2
            }
          }
        },
        "ClientReport": {
          "fields": {
            "client": {
              "type": "string",
              "id": 1
            },
            "server": {
              "type": "string",
              "id": 2
            },
            "portal": {
              "type": "string",
              "id": 3
            },
            "reachable": {
              "type": "bool",
              "id": 4
            },
            "cause": {
              "type": "string",
              "id": 5
            },
            "wallMs": {
              "type": "uint64",
              "id": 6,
              "protoName": "wall_ms"
            }
          }
        },
        "VolumeMap": {
          "fields": {
            "volumeId": {
              "type": "string",
              "id": 1,
              "protoName": "volume_id"
            },
            "name": {
              "type": "string",
              "id": 2
            },
            "iqn": {
              "type": "string",
              "id": 3
            },
            "generation": {
              "type": "uint64",
              "id": 4
            },
            "blockBytes": {
              "type": "uint32",
              "id": 5,
              "protoName": "block_bytes"
            },
            "blocks": {
              "type": "uint64",
              "id": 6
            },
            "segments": {
              "rule": "repeated",
              "type": "Segment",
              "id": 7
            },
            "admissions": {
              "rule": "repeated",
              "type": "Admission",
              "id": 8
            },
            "stalePolicy": {
              "type": "StalePolicy",
              "id": 9,
              "protoName": "stale_policy"
            },
            "holdMs": {
              "type": "uint32",
              "id": 10,
              "protoName": "hold_ms"
            },
            "leaseMs": {
              "type": "uint32",
              "id": 11,
              "protoName": "lease_ms"
            },
            "deleted": {
              "type": "bool",
              "id": 12
            },
            "shared": {
              "type": "SharedState",
              "id": 15
            },
            "removable": {
              "type": "bool",
              "id": 18
            },
            "readOnly": {
              "type": "bool",
              "id": 19,
              "protoName": "read_only"
            },
            "activeFrontEnds": {
              "rule": "repeated",
              "type": "ActiveFrontEnd",
              "id": 16,
              "protoName": "active_front_ends"
            },
            "copies": {
              "type": "uint32",
              "id": 20
            }
          }
        },
        "Segment": {
          "fields": {
            "segmentId": {
              "type": "string",
              "id": 1,
              "protoName": "segment_id"
            },
            "start": {
              "type": "uint64",
              "id": 2
            },
            "blocks": {
              "type": "uint64",
              "id": 3
            },
            "stripe": {
              "type": "Stripe",
              "id": 4
            },
            "epoch": {
              "type": "uint64",
              "id": 5
            },
            "replicas": {
              "rule": "repeated",
              "type": "Replica",
              "id": 6
            }
          }
        },
        "Stripe": {
          "fields": {
            "index": {
              "type": "uint32",
              "id": 1
            },
            "count": {
              "type": "uint32",
              "id": 2
            },
            "unitBlocks": {
              "type": "uint64",
              "id": 3,
              "protoName": "unit_blocks"
            }
          }
        },
        "Replica": {
          "fields": {
            "serverId": {
              "type": "string",
              "id": 1,
              "protoName": "server_id"
            },
            "server": {
              "type": "string",
              "id": 2
            },
            "iqn": {
              "type": "string",
              "id": 3
            },
            "lun": {
              "type": "uint32",
              "id": 4
            },
            "startBlock": {
              "type": "uint64",
              "id": 5,
              "protoName": "start_block"
            },
            "portals": {
              "rule": "repeated",
              "type": "string",
              "id": 6
            },
            "state": {
              "type": "ReplicaState",
              "id": 7
            },
            "incarnation": {
              "type": "string",
              "id": 8
            },
            "number": {
              "type": "uint32",
              "id": 9
            }
          }
        },
        "ActiveFrontEnd": {
          "fields": {
            "initiator": {
              "type": "string",
              "id": 1
            },
            "client": {
              "type": "string",
              "id": 2
            },
            "number": {
              "type": "uint64",
              "id": 3
            }
          }
        },
        "Admission": {
          "fields": {
            "client": {
              "type": "string",
              "id": 1
            },
            "admission": {
              "type": "uint64",
              "id": 2
            },
            "fenced": {
              "type": "bool",
              "id": 3
            }
          }
        },
        "SharedState": {
          "fields": {
            "version": {
              "type": "uint64",
              "id": 1
            },
            "changes": {
              "rule": "repeated",
              "type": "string",
              "id": 2
            },
            "descriptorSense": {
              "type": "bool",
              "id": 3,
              "protoName": "descriptor_sense"
            },
            "softwareWriteProtect": {
              "type": "bool",
              "id": 4,
              "protoName": "software_write_protect"
            },
            "mediumEjected": {
              "type": "bool",
              "id": 5,
              "protoName": "medium_ejected"
            },
            "reservations": {
              "type": "ReservationTable",
              "id": 6
            },
            "sanitize": {
              "type": "Sanitize",
              "id": 7
            }
          }
        },
        "Sanitize": {
          "fields": {
            "failed": {
              "type": "bool",
              "id": 1
            },
            "allowUnrestrictedExit": {
              "type": "bool",
              "id": 2,
              "protoName": "allow_unrestricted_exit"
            },
            "owner": {
              "type": "string",
              "id": 3
            },
            "passes": {
              "type": "uint32",
              "id": 4
            },
            "inverts": {
              "type": "bool",
              "id": 5
            },
            "pattern": {
              "type": "bytes",
              "id": 6
            },
            "passesDone": {
              "type": "uint32",
              "id": 7,
              "protoName": "passes_done"
            },
            "nextLba": {
              "type": "uint64",
              "id": 8,
              "protoName": "next_lba"
            }
          }
        },
        "ReservationTable": {
          "fields": {
            "generation": {
              "type": "uint32",
              "id": 1
            },
            "registrations": {
              "rule": "repeated",
              "type": "Registration",
              "id": 2
            },
            "persistentType": {
              "type": "uint32",
              "id": 3,
              "protoName": "persistent_type"
            },
            "holder": {
              "type": "string",
              "id": 4
            },
            "reserved": {
              "type": "string",
              "id": 5
            },
            "persistThroughPowerLoss": {
              "type": "bool",
              "id": 6,
              "protoName": "persist_through_power_loss"
            },
            "notices": {
              "rule": "repeated",
              "type": "ReservationNotice",
              "id": 7
            },
            "reservedThrough": {
              "type": "string",
              "id": 8,
              "protoName": "reserved_through"
            }
          }
        },
        "Registration": {
          "fields": {
            "initiatorPort": {
              "type": "string",
              "id": 1,
              "protoName": "initiator_port"
            },
            "key": {
              "type": "string",
              "id": 2
            }
          }
        },
        "ReservationNotice": {
          "fields": {
            "number": {
              "type": "uint64",
              "id": 1
            },
            "event": {
              "type": "ReservationEvent",
              "id": 2
            },
            "initiatorPorts": {
              "rule": "repeated",
              "type": "string",
              "id": 3,
              "protoName": "initiator_ports"
            },
            "abort": {
              "type": "bool",
              "id": 4
            }
          }
        },
        "ReservationEvent": {
          "values": {
            "RESERVATION_EVENT_RESERVATIONS_PREEMPTED": 0,
            "RESERVATION_EVENT_RESERVATIONS_RELEASED": 1,
            "RESERVATION_EVENT_REGISTRATIONS_PREEMPTED": 2
          }
        },
        "StalePolicy": {
          "values": {
            "STALE_POLICY_REJECT": 0,
            "STALE_POLICY_IGNORE": 1
          }
        },
        "ReplicaState": {
          "values": {
            "REPLICA_STATE_IN_SYNC": 0,
            "REPLICA_STATE_SYNCING": 1,
            "REPLICA_STATE_BEHIND": 2,
            "REPLICA_STATE_GONE": 3
          }
        },
        "Order": {
          "fields": {
            "term": {
              "type": "uint64",
              "id": 1
            },
            "number": {
              "type": "uint64",
              "id": 2
            }
          }
        },
        "CloseRequest": {
          "fields": {
            "order": {
              "type": "Order",
              "id": 1
            },
            "volumeId": {
              "type": "string",
              "id": 2,
              "protoName": "volume_id"
            }
          }
        },
        "CloseReply": {
          "fields": {
            "generation": {
              "type": "uint64",
              "id": 1
            },
            "leaseLeftMs": {
              "type": "uint32",
              "id": 2,
              "protoName": "lease_left_ms"
            },
            "drainedMs": {
              "type": "uint32",
              "id": 3,
              "protoName": "drained_ms"
            },
            "sessions": {
              "type": "uint32",
              "id": 4
            },
            "segments": {
              "rule": "repeated",
              "type": "SegmentCondition",
              "id": 5
            },
            "incarnations": {
              "rule": "repeated",
              "type": "SegmentIncarnation",
              "id": 6
            }
          }
        },
        "SegmentCondition": {
          "fields": {
            "segmentId": {
              "type": "string",
              "id": 1,
              "protoName": "segment_id"
            },
            "partners": {
              "rule": "repeated",
              "type": "PartnerCondition",
              "id": 2
            },
            "primarySilent": {
              "type": "bool",
              "id": 3,
              "protoName": "primary_silent"
            },
            "comparingBytes": {
              "type": "uint64",
              "id": 4,
              "protoName": "comparing_bytes"
            },
            "diskFailed": {
              "type": "bool",
              "id": 5,
              "protoName": "disk_failed"
            }
          }
        },
        "PartnerCondition": {
          "fields": {
            "serverId": {
              "type": "string",
              "id": 1,
              "protoName": "server_id"
            },
            "state": {
              "type": "string",
              "id": 2
            },
            "behindBytes": {
              "type": "uint64",
              "id": 3,
              "protoName": "behind_bytes"
            },
            "totalBytes": {
              "type": "uint64",
              "id": 4,
              "protoName": "total_bytes"
            },
            "bytesPerSecond": {
              "type": "uint64",
              "id": 5,
              "protoName": "bytes_per_second"
            },
            "incarnation": {
              "type": "string",
              "id": 6
            },
            "copiedBytes": {
              "type": "uint64",
              "id": 7,
              "protoName": "copied_bytes"
            }
          }
        },
        "ActivateRequest": {
          "fields": {
            "order": {
              "type": "Order",
              "id": 1
            },
            "map": {
              "type": "VolumeMap",
              "id": 2
            }
          }
        },
        "ActivateReply": {
          "fields": {
            "incarnations": {
              "rule": "repeated",
              "type": "SegmentIncarnation",
              "id": 1
            }
          }
        },
        "SegmentIncarnation": {
          "fields": {
            "segmentId": {
              "type": "string",
              "id": 1,
              "protoName": "segment_id"
            },
            "incarnation": {
              "type": "string",
              "id": 2
            }
          }
        },
        "ReopenRequest": {
          "fields": {
            "order": {
              "type": "Order",
              "id": 1
            },
            "volumeId": {
              "type": "string",
              "id": 2,
              "protoName": "volume_id"
            },
            "closed": {
              "type": "Order",
              "id": 3
            }
          }
        },
        "ReopenReply": {
          "fields": {}
        },
        "VerifyRequest": {
          "fields": {
            "volumeId": {
              "type": "string",
              "id": 1,
              "protoName": "volume_id"
            },
            "start": {
              "type": "bool",
              "id": 2
            },
            "repair": {
              "type": "bool",
              "id": 3
            }
          }
        },
        "VerifyReply": {
          "fields": {
            "segments": {
              "rule": "repeated",
              "type": "SegmentVerification",
              "id": 1
            }
          }
        },
        "SegmentVerification": {
          "fields": {
            "segmentId": {
              "type": "string",
              "id": 1,
              "protoName": "segment_id"
            },
            "state": {
              "type": "string",
              "id": 2
            },
            "cause": {
              "type": "string",
              "id": 3
            },
            "totalBytes": {
              "type": "uint64",
              "id": 4,
              "protoName": "total_bytes"
            },
            "comparedBytes": {
              "type": "uint64",
              "id": 5,
              "protoName": "compared_bytes"
            },
            "bytesPerSecond": {
              "type": "uint64",
              "id": 6,
              "protoName": "bytes_per_second"
            },
            "differingPages": {
              "type": "uint64",
              "id": 7,
              "protoName": "differing_pages"
            },
            "repairedPages": {
              "type": "uint64",
              "id": 8,
              "protoName": "repaired_pages"
            },
            "named": {
              "rule": "repeated",
              "type": "Difference",
              "id": 9
            }
          }
        },
        "Difference": {
          "fields": {
            "serverId": {
              "type": "string",
              "id": 1,
              "protoName": "server_id"
            },
            "lba": {
              "type": "uint64",
              "id": 2
            },
            "blocks": {
              "type": "uint64",
              "id": 3
            }
          }
        },
        "DescribeRequest": {
          "fields": {}
        },
        "DescribeReply": {
          "fields": {
            "server": {
              "type": "ServerFacts",
              "id": 1
            },
            "volumes": {
              "rule": "repeated",
              "type": "HeldVolume",
              "id": 2
            },
            "counters": {
              "rule": "repeated",
              "type": "VolumeCounters",
              "id": 3
            }
          }
        },
        "VolumeCounters": {
          "fields": {
            "volumeId": {
              "type": "string",
              "id": 1,
              "protoName": "volume_id"
            },
            "reads": {
              "type": "uint64",
              "id": 2
            },
            "writes": {
              "type": "uint64",
              "id": 3
            },
            "readBytes": {
              "type": "uint64",
              "id": 4,
              "protoName": "read_bytes"
            },
            "writtenBytes": {
              "type": "uint64",
              "id": 5,
              "protoName": "written_bytes"
            },
            "viaManagementPath": {
              "type": "uint64",
              "id": 6,
              "protoName": "via_management_path"
            },
            "refusals": {
              "rule": "repeated",
              "type": "RefusalCount",
              "id": 7
            },
            "resyncedBytes": {
              "type": "uint64",
              "id": 8,
              "protoName": "resynced_bytes"
            },
            "repairedBytes": {
              "type": "uint64",
              "id": 9,
              "protoName": "repaired_bytes"
            }
          }
        },
        "RefusalCount": {
          "fields": {
            "reason": {
              "type": "uint32",
              "id": 1
            },
            "count": {
              "type": "uint64",
              "id": 2
            }
          }
        },
        "ServerFacts": {
          "fields": {
            "serverId": {
              "type": "string",
              "id": 1,
              "protoName": "server_id"
            },
            "name": {
              "type": "string",
              "id": 2
            },
            "portals": {
              "rule": "repeated",
              "type": "string",
              "id": 3
            },
            "control": {
              "type": "string",
              "id": 4
            },
            "capacityBytes": {
              "type": "uint64",
              "id": 5,
              "protoName": "capacity_bytes"
            },
            "freeBytes": {
              "type": "uint64",
              "id": 6,
              "protoName": "free_bytes"
            },
            "processId": {
              "type": "string",
              "id": 7,
              "protoName": "process_id"
            },
            "version": {
              "type": "string",
              "id": 8
            },
            "storeIncarnation": {
              "type": "string",
              "id": 9,
              "protoName": "store_incarnation"
            },
            "listens": {
              "rule": "repeated",
              "type": "string",
              "id": 10
            }
          }
        },
        "HeldVolume": {
          "fields": {
            "volumeId": {
              "type": "string",
              "id": 1,
              "protoName": "volume_id"
            },
            "name": {
              "type": "string",
              "id": 2
            },
            "generation": {
              "type": "uint64",
              "id": 3
            },
            "closed": {
              "type": "Order",
              "id": 4
            },
            "incarnations": {
              "rule": "repeated",
              "type": "SegmentIncarnation",
              "id": 5
            },
            "serving": {
              "type": "bool",
              "id": 6
            },
            "order": {
              "type": "Order",
              "id": 7
            },
            "sessions": {
              "type": "uint32",
              "id": 8
            },
            "segments": {
              "rule": "repeated",
              "type": "SegmentCondition",
              "id": 9
            }
          }
        },
        "VolumeRecord": {
          "fields": {
            "map": {
              "type": "VolumeMap",
              "id": 1
            },
            "order": {
              "type": "Order",
              "id": 2
            },
            "closed": {
              "type": "Order",
              "id": 3
            },
            "confirmedGeneration": {
              "type": "uint64",
              "id": 4,
              "protoName": "confirmed_generation"
            },
            "inSync": {
              "rule": "repeated",
              "type": "InSyncMark",
              "id": 5,
              "protoName": "in_sync"
            }
          }
        },
        "RecordsRequest": {
          "fields": {}
        },
        "RecordsReply": {
          "fields": {
            "records": {
              "rule": "repeated",
              "type": "VolumeRecord",
              "id": 1
            },
            "term": {
              "type": "uint64",
              "id": 2
            }
          }
        },
        "InSyncMark": {
          "fields": {
            "segmentId": {
              "type": "string",
              "id": 1,
              "protoName": "segment_id"
            },
            "generation": {
              "type": "uint64",
              "id": 2
            }
          }
        },
        "ServerRecord": {
          "fields": {
            "serverId": {
              "type": "string",
              "id": 1,
              "protoName": "server_id"
            },
            "name": {
              "type": "string",
              "id": 2
            },
            "portals": {
              "rule": "repeated",
              "type": "string",
              "id": 3
            },
            "control": {
              "type": "string",
              "id": 4
            },
            "capacityBytes": {
              "type": "uint64",
              "id": 5,
              "protoName": "capacity_bytes"
            },
            "storeIncarnation": {
              "type": "string",
              "id": 6,
              "protoName": "store_incarnation"
            },
            "declaredDead": {
              "type": "bool",
              "id": 7,
              "protoName": "declared_dead"
            },
            "domain": {
              "type": "string",
              "id": 8
            }
          }
        },
        "RecoverySettings": {
          "fields": {
            "bytesPerSecond": {
              "type": "uint64",
              "id": 1,
              "protoName": "bytes_per_second"
            },
            "graceMs": {
              "type": "uint64",
              "id": 2,
              "protoName": "grace_ms"
            }
          }
        },
        "PendingFence": {
          "fields": {
            "volumeId": {
              "type": "string",
              "id": 1,
              "protoName": "volume_id"
            },
            "client": {
              "type": "string",
              "id": 2
            },
            "sinceWallMs": {
              "type": "uint64",
              "id": 3,
              "protoName": "since_wall_ms"
            }
          }
        },
        "RegisterRequest": {
          "fields": {
            "server": {
              "type": "ServerFacts",
              "id": 1
            },
            "volumes": {
              "rule": "repeated",
              "type": "HeldVolume",
              "id": 2
            }
          }
        },
        "RegisterReply": {
          "fields": {
            "adopted": {
              "type": "bool",
              "id": 1
            },
            "term": {
              "type": "uint64",
              "id": 2
            },
            "recoveryBytesPerSecond": {
              "type": "uint64",
              "id": 3,
              "protoName": "recovery_bytes_per_second"
            }
          }
        },
        "ConditionRequest": {
          "fields": {
            "serverId": {
              "type": "string",
              "id": 1,
              "protoName": "server_id"
            },
            "volume": {
              "type": "HeldVolume",
              "id": 2
            }
          }
        },
        "ConditionReply": {
          "fields": {}
        },
        "AskRequest": {
          "fields": {
            "serverId": {
              "type": "string",
              "id": 1,
              "protoName": "server_id"
            },
            "volume": {
              "type": "HeldVolume",
              "id": 2
            }
          }
        },
        "AskReply": {
          "oneofs": {
            "verdict": {
              "oneof": [
                "activate",
                "reopen",
                "wait",
                "forgotten"
              ]
            }
          },
          "fields": {
            "activate": {
              "type": "ActivateRequest",
              "id": 1
            },
            "reopen": {
              "type": "ReopenRequest",
              "id": 2
            },
            "wait": {
              "type": "bool",
              "id": 3
            },
            "forgotten": {
              "type": "bool",
              "id": 4
            }
          }
        },
        "GetMapRequest": {
          "fields": {
            "client": {
              "type": "string",
              "id": 1
            },
            "volume": {
              "type": "string",
              "id": 2
            },
            "newerThan": {
              "type": "uint64",
              "id": 3,
              "protoName": "newer_than"
            }
          }
        },
        "GetMapReply": {
          "fields": {
            "map": {
              "type": "VolumeMap",
              "id": 1
            }
          }
        },
        "WatchRequest": {
          "fields": {
            "client": {
              "type": "string",
              "id": 1
            }
          }
        },
        "WatchEvent": {
          "oneofs": {
            "event": {
              "oneof": [
                "map",
                "listed",
                "keepAlive",
                "gone",
                "managementPath"
              ]
            }
          },
          "fields": {
            "map": {
              "type": "VolumeMap",
              "id": 1
            },
            "listed": {
              "type": "bool",
              "id": 2
            },
            "keepAlive": {
              "type": "bool",
              "id": 3,
              "protoName": "keep_alive"
            },
            "gone": {
              "type": "string",
              "id": 4
            },
            "managementPath": {
              "type": "Portals",
              "id": 5,
              "protoName": "management_path"
            }
          }
        },
        "Portals": {
          "fields": {
            "addresses": {
              "rule": "repeated",
              "type": "string",
              "id": 1
            }
          }
        },
        "ChangeSharedStateRequest": {
          "fields": {
            "client": {
              "type": "string",
              "id": 1
            },
            "volumeId": {
              "type": "string",
              "id": 2,
              "protoName": "volume_id"
            },
            "change": {
              "type": "string",
              "id": 3
            },
            "formerVersion": {
              "type": "uint64",
              "id": 4,
              "protoName": "former_version"
            },
            "state": {
              "type": "SharedState",
              "id": 5
            },
            "takesAway": {
              "type": "bool",
              "id": 6,
              "protoName": "takes_away"
            }
          }
        },
        "ChangeSharedStateReply": {
          "fields": {
            "map": {
              "type": "VolumeMap",
              "id": 1
            },
            "givenUp": {
              "type": "string",
              "id": 2,
              "protoName": "given_up"
            }
          }
        },
        "Gateway": {
          "fields": {
            "client": {
              "type": "string",
              "id": 1
            },
            "group": {
              "type": "uint32",
              "id": 2
            },
            "addresses": {
              "rule": "repeated",
              "type": "string",
              "id": 3
            }
          }
        },
        "AttendRequest": {
          "fields": {
            "client": {
              "type": "string",
              "id": 1
            },
            "gateway": {
              "type": "Gateway",
              "id": 2
            },
            "serves": {
              "rule": "repeated",
              "type": "ServedInitiator",
              "id": 3
            },
            "leaving": {
              "type": "bool",
              "id": 4
            },
            "sessions": {
              "type": "uint32",
              "id": 5
            },
            "attachments": {
              "rule": "repeated",
              "type": "fixed32",
              "id": 6
            }
          }
        },
        "ServedInitiator": {
          "fields": {
            "volumeId": {
              "type": "string",
              "id": 1,
              "protoName": "volume_id"
            },
            "initiator": {
              "type": "string",
              "id": 2
            }
          }
        },
        "AttendReply": {
          "fields": {
            "gateways": {
              "rule": "repeated",
              "type": "Gateway",
              "id": 1
            },
            "loads": {
              "rule": "repeated",
              "type": "GatewayLoad",
              "id": 2
            }
          }
        },
        "GatewayLoad": {
          "fields": {
            "client": {
              "type": "string",
              "id": 1
            },
            "sessions": {
              "type": "uint32",
              "id": 2
            },
            "attachments": {
              "rule": "repeated",
              "type": "fixed32",
              "id": 3
            }
          }
        },
        "ActivateFrontEndRequest": {
          "fields": {
            "client": {
              "type": "string",
              "id": 1
            },
            "volumeId": {
              "type": "string",
              "id": 2,
              "protoName": "volume_id"
            },
            "initiator": {
              "type": "string",
              "id": 3
            },
            "formerNumber": {
              "type": "uint64",
              "id": 4,
              "protoName": "former_number"
            },
            "explicit": {
              "type": "bool",
              "id": 5
            }
          }
        },
        "ActivateFrontEndReply": {
          "fields": {
            "map": {
              "type": "VolumeMap",
              "id": 1
            },
            "givenUp": {
              "type": "string",
              "id": 2,
              "protoName": "given_up"
            }
          }
        },
        "ReportRequest": {
          "fields": {
            "client": {
              "type": "string",
              "id": 1
            },
            "serverId": {
              "type": "string",
              "id": 2,
              "protoName": "server_id"
            },
            "portal": {
              "type": "string",
              "id": 3
            },
            "reachable": {
              "type": "bool",
              "id": 4
            },
            "cause": {
              "type": "string",
              "id": 5
            }
          }
        },
        "ReportReply": {
          "fields": {}
        },
        "ShimStatusRequest": {
          "fields": {}
        },
        "ShimStatusReply": {
          "fields": {
            "client": {
              "type": "string",
              "id": 1
            },
            "managerConnected": {
              "type": "bool",
              "id": 2,
              "protoName": "manager_connected"
            },
            "managementPath": {
              "rule": "repeated",
              "type": "string",
              "id": 3,
              "protoName": "management_path"
            },
            "volumes": {
              "rule": "repeated",
              "type": "FrontVolumeStatus",
              "id": 4
            },
            "sentElsewhere": {
              "type": "uint64",
              "id": 5,
              "protoName": "sent_elsewhere"
            }
          }
        },
        "FrontVolumeStatus": {
          "fields": {
            "volumeId": {
              "type": "string",
              "id": 1,
              "protoName": "volume_id"
            },
            "name": {
              "type": "string",
              "id": 2
            },
            "generation": {
              "type": "uint64",
              "id": 3
            },
            "sessions": {
              "type": "uint32",
              "id": 4
            },
            "fenced": {
              "type": "bool",
              "id": 5
            },
            "live": {
              "type": "uint32",
              "id": 6
            },
            "held": {
              "type": "uint32",
              "id": 7
            },
            "commands": {
              "type": "uint64",
              "id": 8
            },
            "heldTotal": {
              "type": "uint64",
              "id": 9,
              "protoName": "held_total"
            },
            "longestStallMs": {
              "type": "double",
              "id": 10,
              "protoName": "longest_stall_ms"
            },
            "resent": {
              "type": "uint64",
              "id": 11
            },
            "repeats": {
              "rule": "repeated",
              "type": "ReasonCount",
              "id": 12
            },
            "busy": {
              "type": "uint64",
              "id": 13
            },
            "conflicts": {
              "type": "uint64",
              "id": 14
            },
            "dropped": {
              "type": "uint64",
              "id": 15
            },
            "alarms": {
              "type": "uint64",
              "id": 16
            },
            "paths": {
              "rule": "repeated",
              "type": "PathStatus",
              "id": 17
            },
            "initiators": {
              "rule": "repeated",
              "type": "InitiatorStatus",
              "id": 18
            },
            "outcomeUnknown": {
              "type": "uint64",
              "id": 19,
              "protoName": "outcome_unknown"
            }
          }
        },
        "InitiatorStatus": {
          "fields": {
            "name": {
              "type": "string",
              "id": 1
            },
            "profile": {
              "type": "string",
              "id": 2
            },
            "addresses": {
              "rule": "repeated",
              "type": "string",
              "id": 3
            },
            "portalGroupTag": {
              "type": "uint32",
              "id": 4,
              "protoName": "portal_group_tag"
            },
            "headerDigest": {
              "type": "bool",
              "id": 5,
              "protoName": "header_digest"
            },
            "dataDigest": {
              "type": "bool",
              "id": 6,
              "protoName": "data_digest"
            },
            "errorRecoveryLevel": {
              "type": "uint32",
              "id": 7,
              "protoName": "error_recovery_level"
            },
            "chapUser": {
              "type": "string",
              "id": 8,
              "protoName": "chap_user"
            },
            "alias": {
              "type": "string",
              "id": 9
            }
          }
        },
        "ReasonCount": {
          "fields": {
            "reason": {
              "type": "string",
              "id": 1
            },
            "count": {
              "type": "uint64",
              "id": 2
            }
          }
        },
        "PathStatus": {
          "fields": {
            "serverId": {
              "type": "string",
              "id": 1,
              "protoName": "server_id"
            },
            "server": {
              "type": "string",
              "id": 2
            },
            "route": {
              "type": "string",
              "id": 3
            },
            "portal": {
              "type": "string",
              "id": 4
            },
            "direct": {
              "type": "RouteCounters",
              "id": 5
            },
            "management": {
              "type": "RouteCounters",
              "id": 6
            },
            "breaks": {
              "type": "uint64",
              "id": 7
            },
            "returns": {
              "type": "uint64",
              "id": 8
            }
          }
        },
        "RouteCounters": {
          "fields": {
            "commands": {
              "type": "uint64",
              "id": 1
            },
            "bytes": {
              "type": "uint64",
              "id": 2
            },
            "logins": {
              "type": "uint64",
              "id": 3
            }
          }
        }
      }
    }
  }
}