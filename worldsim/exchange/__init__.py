"""Datasets of other tools: written from ours, read into ours, and checked where they lie.

    minari     Minari 0.5: arrow, parquet or hdf5, never JPEG       (`worldsim.exchange.minari`)
    lerobot    LeRobot v3.0: parquet, pictures or a lossless video  (`worldsim.exchange.lerobot`)
    folder     a video an episode, its actions as jsonl or csv      (`worldsim.exchange.folder`)
    vpt        the pairs .mp4 + .jsonl of OpenAI's contractors      (`worldsim.exchange.vpt`, read only)
    minerl     recording.mp4 + rendered.npz of MineRL 0.4           (`worldsim.exchange.minerl`, read only)

`exporting.export_dataset` goes shard by shard, `importing.import_dataset` segment by segment; both hold one shard in
memory and go on after a kill. What a format cannot hold in its own words lies beside it (`sidecar`), so that
ours -> theirs -> ours gives the same bytes.
"""
